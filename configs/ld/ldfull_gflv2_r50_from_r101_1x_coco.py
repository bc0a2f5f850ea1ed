"""Main KD + main LD + VLR LD on GFLv2 (the paper's "Ours"): R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/ld/ldfull_gflv2_r50_from_r101_1x_coco.py --task=train
Published: val AP 42.7 (HikariTJU/LD README, released weights; the split is not printed).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released config adds imitation of general instances with weight 2.0, which this row does not
name; here exactly the three terms of the row. The sums over locations at 3 images per GPU are written as
means per image times 3; VLR is gated by IoF as in the released code (region option gate="diou" gives the
paper's).
"""

_base_ = [
    "../_base_/models/gflv2_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
    "../_base_/distill/full.py",
]

distill = dict(
    teacher=dict(config="configs/gflv2/gflv2_r101_2x_coco.py", checkpoint="weights/gflv2_r101_2x_coco.pth")
)
dataset = dict(train=dict(batch_size=6))
optimizer = dict(lr=0.00375)  # 6 images a step: 6/16 of 0.01
published = dict(row="ld-gflv2-ours-r50-from-r101-1x")
