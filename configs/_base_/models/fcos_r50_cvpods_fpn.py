"""FCOS with MSRA's ResNet-50 as cvpods builds it: P6 and P7 from C5, centerness on the box tower, GIoU."""

_base_ = "fcos_r50_caffe_fpn.py"

model = dict(
    backbone=dict(pretrained="detectron2://R-50"),
    neck=dict(add_extra_convs="on_input", init="c2_xavier"),
    bbox_head=dict(
        conv_bias=True, centerness_on_reg=True, norm_on_bbox=True, assigner=dict(center_radius=1.5),
        loss_bbox=dict(type="GIoULoss", loss_weight=1.0, _cover_=True), nms=dict(iou_threshold=0.6),
        candidates="pairs_per_cell",
    ),
)
