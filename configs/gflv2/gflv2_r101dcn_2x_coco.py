"""GFLv2 R-101-DCN, 2x, multi-scale 480-960, COCO: a baseline and teacher.

Command: python tools/run_net.py --config-file=configs/gflv2/gflv2_r101dcn_2x_coco.py --task=train
Published: test-dev AP 48.2, AP50 66.6, AP75 52.6 (GFLv2 table of HikariTJU/LD's README, later removed).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/gflv2_r50_fpn.py",
    "../_base_/datasets/coco_multiscale_960.py",
    "../_base_/schedules/schedule_2x.py",
]

model = dict(
    backbone=dict(
        depth=101, pretrained="torchvision://resnet101", dcn=dict(deform_groups=1),
        stage_with_dcn=[False, True, True, True],
    )
)
published = dict(row="ld-gflv2-r101dcn-2x-testdev")
