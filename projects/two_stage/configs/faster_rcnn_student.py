"""BCCD, plain student: Faster R-CNN R-18 of a quarter of the width, from scratch, without a teacher.

Command: python tools/run_net.py --config-file=projects/two_stage/configs/faster_rcnn_student.py --task=train
Published: none. Measured with jld: see projects/two_stage/README.md. Expects the BCCD folder (VOC layout)
at data/bccd.
"""

_base_ = [
    "../../../configs/_base_/models/faster_rcnn_r50_fpn.py",
    "_base_/small.py",
    "_base_/short.py",
    "_base_/bccd.py",
]

# A dozen cells in an image and more.
model = dict(rpn_head=dict(sampler=dict(num=128)), roi_head=dict(sampler=dict(num=64)))
