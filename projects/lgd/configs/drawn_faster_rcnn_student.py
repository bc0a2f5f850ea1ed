"""Drawn images, plain student: Faster R-CNN R-18 with a quarter of the width, from scratch.

Command: python tools/run_net.py --config-file=projects/lgd/configs/drawn_faster_rcnn_student.py --task=train
(python projects/lgd/run.py trains it and its LGD twin).
Published: none. Measured with jld: see projects/lgd/README.md.
"""

_base_ = [
    "../../../configs/_base_/models/faster_rcnn_r50_fpn.py",
    "../../two_stage/configs/_base_/small.py",
    "../../two_stage/configs/_base_/short.py",
    "_base_/drawn.py",
]

# Half the images in half the batch: a label-guided step of two stages costs most.
dataset = dict(train=dict(num_images=400, batch_size=8))
