"""FCOS with box distributions, as HikariTJU/LD's fcos_gfl configs: 17 bins a side, centre sampling, GIoU."""

_base_ = "fcos_r50_caffe_fpn.py"

model = dict(
    backbone=dict(pretrained="open-mmlab://detectron2/resnet50_caffe"),
    bbox_head=dict(
        reg_max=16, centerness_on_reg=True, assigner=dict(center_radius=1.5),
        loss_bbox=dict(type="GIoULoss", loss_weight=1.0, _cover_=True), nms=dict(iou_threshold=0.6),
    ),
)
