"""GFL R-101-DCN, 2x, multi-scale 480-800, COCO: a teacher.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_r101dcn_ms_2x_coco.py --task=train
Published: val AP 47.1 (mmDetection model zoo, GFL).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/coco_multiscale.py",
    "../_base_/schedules/schedule_2x.py",
]

model = dict(
    backbone=dict(
        depth=101, pretrained="torchvision://resnet101", dcn=dict(deform_groups=1),
        stage_with_dcn=[False, True, True, True],
    )
)
published = dict(row="mmdet-gfl-r101dcn-ms-2x")
