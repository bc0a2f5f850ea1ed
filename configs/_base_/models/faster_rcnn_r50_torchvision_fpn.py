"""Faster R-CNN as torchvision's fasterrcnn_resnet50_fpn: crops that are not aligned to half a cell, anchors of whole px,
smooth L1. Its files fit; set `num_classes` to theirs without the background (published ones: COCO's 90 numbers, gaps
included) and, for `maskrcnn_resnet50_fpn`, the mask head of mask_rcnn_r50_fpn.py.
"""

_base_ = "faster_rcnn_r50_fpn.py"

model = dict(
    backbone=dict(norm_trainable=False),
    rpn_head=dict(
        priors=dict(grid="torchvision"),
        box_coder=dict(clip_shrinking=False),
        loss_bbox=dict(type="SmoothL1Loss", beta=1.0 / 9.0),
        train_max_proposals=2000, min_size_px=0.001,
    ),
    roi_head=dict(
        sampling_ratio=2, aligned=False,
        bbox_head=dict(
            num_classes=90, box_coder=dict(clip_shrinking=False),
            loss_bbox=dict(type="SmoothL1Loss", beta=1.0 / 9.0),
        ),
    ),
)
