"""GFL R-101, 2x, multi-scale 480-800, COCO: a teacher.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_r101_ms_2x_coco.py --task=train
Published: val AP 44.7 (mmDetection model zoo, GFL).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/coco_multiscale.py",
    "../_base_/schedules/schedule_2x.py",
]

model = dict(backbone=dict(depth=101, pretrained="torchvision://resnet101"))
published = dict(row="mmdet-gfl-r101-ms-2x")
