"""Thermal drone images, teacher: the plain student with R-34, twice as wide and three times as long.

Command: python tools/run_net.py --config-file=projects/rotated_ld/configs/hit_uav_teacher.py --task=train
Published: none. Measured with jld: see projects/rotated_ld/README.md.
"""

_base_ = "hit_uav_student.py"

model = dict(backbone=dict(depth=34, base_channels=32), neck=dict(in_channels=[32, 64, 128, 256]))
scheduler = dict(milestones=[22, 27])
max_epoch = 30
