"""GFLv2 R-101, 2x, multi-scale 480-960, COCO: a baseline and teacher.

Command: python tools/run_net.py --config-file=configs/gflv2/gflv2_r101_2x_coco.py --task=train
Published: test-dev AP 46.0, AP50 64.1, AP75 50.2 (GFLv2 table of HikariTJU/LD's README, later removed).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/gflv2_r50_fpn.py",
    "../_base_/datasets/coco_multiscale_960.py",
    "../_base_/schedules/schedule_2x.py",
]

model = dict(backbone=dict(depth=101, pretrained="torchvision://resnet101"))
published = dict(row="ld-gflv2-r101-2x-testdev")
