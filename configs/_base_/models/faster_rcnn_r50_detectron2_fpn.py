"""Faster R-CNN with MSRA's ResNet-50 as detectron2 0.3 builds it: fixed normalisations, BGR, its matching and divisors."""

_base_ = "faster_rcnn_r50_fpn.py"

model = dict(
    backbone=dict(style="caffe", norm_trainable=False, pretrained="detectron2://R-50"),
    neck=dict(init="c2_xavier"),
    rpn_head=dict(
        assigner=dict(min_pos_iou=0.0, low_quality_box="own_best", padding="matched"),
        box_coder=dict(clip_shrinking=False),
        normalizer="fixed",
    ),
    roi_head=dict(bbox_head=dict(box_coder=dict(clip_shrinking=False), init="c2_xavier")),
)
