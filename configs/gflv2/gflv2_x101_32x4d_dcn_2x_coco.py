"""GFLv2 X-101-32x4d-DCN, 2x, multi-scale 480-960, COCO: a baseline.

Command: python tools/run_net.py --config-file=configs/gflv2/gflv2_x101_32x4d_dcn_2x_coco.py --task=train
Published: test-dev AP 49.0, AP50 67.6, AP75 53.4 (GFLv2 table of HikariTJU/LD's README, later removed).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/gflv2_r50_fpn.py",
    "../_base_/datasets/coco_multiscale_960.py",
    "../_base_/schedules/schedule_2x.py",
]

model = dict(
    backbone=dict(
        _cover_=True, type="ResNeXt", depth=101, groups=32, base_width=4, frozen_stages=1, norm_eval=True,
        dcn=dict(deform_groups=1), stage_with_dcn=[False, False, True, True],
        pretrained="open-mmlab://resnext101_32x4d",
    )
)
published = dict(row="ld-gflv2-x101-32x4d-dcn-2x-testdev")
