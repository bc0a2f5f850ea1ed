"""BCCD, teacher: Faster R-CNN R-18 of three quarters of the width, from scratch, trained twice as long.

Command: python tools/run_net.py --config-file=projects/two_stage/configs/faster_rcnn_teacher.py --task=train
Published: none. Measured with jld: see projects/two_stage/README.md.
"""

_base_ = "faster_rcnn_student.py"

model = dict(backbone=dict(base_channels=48), neck=dict(in_channels=[48, 96, 192, 384]))
scheduler = dict(milestones=[12, 14])
max_epoch = 16
eval_interval = 8
checkpoint_interval = 8
