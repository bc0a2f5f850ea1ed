"""GFLv2 Res2Net-101-DCN, 2x, multi-scale 480-960, COCO: a baseline and teacher.

Command: python tools/run_net.py --config-file=configs/gflv2/gflv2_r2n101dcn_2x_coco.py --task=train
Published: test-dev AP 50.5, AP50 68.9, AP75 55.1 (GFLv2 table of HikariTJU/LD's README, later removed).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/gflv2_r50_fpn.py",
    "../_base_/datasets/coco_multiscale_960.py",
    "../_base_/schedules/schedule_2x.py",
]

model = dict(
    backbone=dict(
        _cover_=True, type="Res2Net", depth=101, scales=4, base_width=26, frozen_stages=1, norm_eval=True,
        dcn=dict(deform_groups=1), stage_with_dcn=[False, False, True, True],
        pretrained="open-mmlab://res2net101_v1d_26w_4s",
    )
)
published = dict(row="ld-gflv2-r2n101dcn-2x-testdev")
