"""RetinaNet with box distributions, as HikariTJU/LD's retinagfl configs: 17 bins a side, GIoU, NMS at 0.6."""

_base_ = "retinanet_r50_fpn.py"

model = dict(
    bbox_head=dict(
        reg_max=16, box_coder=None, loss_bbox=dict(type="GIoULoss", loss_weight=2.0, _cover_=True),
        nms=dict(iou_threshold=0.6),
    )
)
