"""BCKD on GFL: R-34 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/bckd/bckd_gfl_r34_from_r101_1x_coco.py --task=train
Published: val AP 42.0 (README of TinyTigerPan/BCKD).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released code leaves out levels without a positive on each GPU (2 images), here on the whole batch
of a process.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
]

model = dict(
    backbone=dict(depth=34, pretrained="torchvision://resnet34"), neck=dict(in_channels=[64, 128, 256, 512])
)
distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    terms=[
        dict(type="BCKD", cls_weight=1.0, box_weight=4.0, skip_levels_without_positive=True),
    ],
)
published = dict(row="bckd-gfl-r34-from-r101-1x")
