"""Drawn images, plain student: RetinaNet R-18 with a quarter of the width, from scratch.

Command: python tools/run_net.py --config-file=projects/lgd/configs/drawn_retinanet_student.py --task=train
(python projects/lgd/run.py trains it and its LGD twin).
Published: none. Measured with jld: see projects/lgd/README.md.
"""

_base_ = [
    "_base_/retinanet.py",
    "../../two_stage/configs/_base_/short.py",
    "_base_/drawn.py",
]

# From random weights its class loss needs longer than the others'.
scheduler = dict(milestones=[9, 11])
max_epoch = 12
eval_interval = 12
