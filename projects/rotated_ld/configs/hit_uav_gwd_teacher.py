"""Thermal drone images, the teacher: the plain GWD student with R-34, twice as wide and trained twice as long.

Command: python tools/run_net.py --config-file=projects/rotated_ld/configs/hit_uav_gwd_teacher.py --task=train
Published: none. Measured with jld: see projects/rotated_ld/README.md. It teaches both students: without the Wasserstein
distance a teacher of this length is no better than its student.
"""

_base_ = "hit_uav_gwd_student.py"

model = dict(backbone=dict(depth=34, base_channels=32), neck=dict(in_channels=[32, 64, 128, 256]))
scheduler = dict(milestones=[14, 18])
max_epoch = 20
