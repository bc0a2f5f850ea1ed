"""Main KD + main LD + VLR LD on GFL (the paper's "Ours"): R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/ld/ldfull_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 42.1, AP50 60.3, AP75 45.6 (README table of HikariTJU/LD; logit mimicking versus feature
imitation).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released R-50 config also trains fine-grained imitation and has no published score; here
exactly the three terms of the row. Sums over locations at 2 images per GPU are written as means per image
times 2; VLR is gated by IoF as in the released code (region option gate="diou" gives the paper's).
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
    "../_base_/distill/full_batch4.py",
]

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth")
)
dataset = dict(train=dict(batch_size=4))
optimizer = dict(lr=0.0025)  # 4 images a step: 4/16 of 0.01
published = dict(row="ld-coco-ours-r50-from-r101-1x")
