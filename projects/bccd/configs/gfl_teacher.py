"""BCCD, teacher: GFL R-34 of half the width on 192x144 images, from scratch, trained twice as long.

Command: python tools/run_net.py --config-file=projects/bccd/configs/gfl_teacher.py --task=train
Published: none. Measured with jld: see projects/bccd/README.md.
"""

_base_ = "gfl_student.py"

model = dict(backbone=dict(depth=34, base_channels=32), neck=dict(in_channels=[32, 64, 128, 256]))
scheduler = dict(milestones=[25, 28])
max_epoch = 30
eval_interval = 5
checkpoint_interval = 5
