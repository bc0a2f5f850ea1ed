"""BCCD, teacher: Faster R-CNN R-34 of three quarters width, from scratch, trained almost four times as long.

Command: python tools/run_net.py --config-file=projects/two_stage/configs/faster_rcnn_teacher.py --task=train
Published: none. Measured with jld: not measured.
"""

_base_ = "faster_rcnn_student.py"

model = dict(backbone=dict(depth=34, base_channels=48), neck=dict(in_channels=[48, 96, 192, 384]))
scheduler = dict(milestones=[25, 28])
max_epoch = 30
eval_interval = 5
checkpoint_interval = 5
