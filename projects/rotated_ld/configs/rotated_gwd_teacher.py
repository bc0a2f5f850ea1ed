"""DOTA sample, teacher: the plain student with R-34, trained longer.

Command: python tools/run_net.py --config-file=projects/rotated_ld/configs/rotated_gwd_teacher.py --task=train
Published: none. Measured with jld: see projects/rotated_ld/README.md.
"""

_base_ = "rotated_gwd_student.py"

model = dict(backbone=dict(depth=34))
scheduler = dict(milestones=[8, 11])
max_epoch = 12
