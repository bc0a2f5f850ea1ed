"""Drawn images, teacher: GFL R-34, twice as wide as the student and trained longer, on the drawn dataset.

Command: python tools/run_net.py --config-file=configs/quick_start/gfl_teacher.py --task=train
Published: none. Measured with jld: in earlier tables of projects/logit_vs_feature (commit d77c79b).
"""

_base_ = "gfl_student.py"

model = dict(
    backbone=dict(depth=34, base_channels=32),
    neck=dict(in_channels=[32, 64, 128, 256]),
)
scheduler = dict(milestones=[6], gamma=0.1)
max_epoch = 8
