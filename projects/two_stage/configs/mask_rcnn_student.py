"""Drawn scenes with masks, plain student: Mask R-CNN R-18 of a quarter of the width, from scratch, without a teacher.

Command: python tools/run_net.py --config-file=projects/two_stage/configs/mask_rcnn_student.py --task=train
Published: none. Measured with jld: see projects/two_stage/README.md.
"""

_base_ = [
    "../../../configs/_base_/models/mask_rcnn_r50_fpn.py",
    "_base_/small.py",
    "_base_/short.py",
    "_base_/drawn_masks.py",
]

model = dict(roi_head=dict(mask_head=dict(num_classes=3, in_channels=32, conv_out_channels=32, num_convs=2)))
