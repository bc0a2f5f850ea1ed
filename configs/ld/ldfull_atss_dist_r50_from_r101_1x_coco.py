"""Main KD + main LD + VLR LD on ATSS with box distributions: R-50 from R-101, 1x, COCO (HikariTJU/LD,
ld_r50_atss_r101_1x).

Command: python tools/run_net.py --config-file=configs/ld/ldfull_atss_dist_r50_from_r101_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: the released sums over locations at 2 images per GPU are written as means per image times 2; VLR is
gated by IoF as in the released code (region option gate="diou" gives the paper's).
"""

_base_ = [
    "../_base_/models/atss_dist_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
    "../_base_/distill/full_atss_dist.py",
]

distill = dict(
    teacher=dict(config="configs/atss/atss_dist_r101_ms_2x_coco.py", checkpoint="weights/atss_dist_r101_ms_2x_coco.pth")
)
