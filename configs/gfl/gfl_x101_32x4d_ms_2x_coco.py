"""GFL X-101-32x4d, 2x, multi-scale 480-800, COCO: a teacher.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_x101_32x4d_ms_2x_coco.py --task=train
Published: val AP 45.9 (mmDetection model zoo, GFL).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/coco_multiscale.py",
    "../_base_/schedules/schedule_2x.py",
]

model = dict(
    backbone=dict(
        _cover_=True, type="ResNeXt", depth=101, groups=32, base_width=4, frozen_stages=1, norm_eval=True,
        pretrained="open-mmlab://resnext101_32x4d",
    )
)
published = dict(row="mmdet-gfl-x101-32x4d-ms-2x")
