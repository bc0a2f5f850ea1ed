"""FCOS R-50, 1x, COCO, with centre sampling, distances in strides, centerness on the box tower and GIoU.

Command: python tools/run_net.py --config-file=configs/fcos/fcos_tricks_r50_1x_coco.py --task=train
Published: val AP 38.7 (mmDetection model zoo, FCOS with tricks).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/fcos_r50_caffe_fpn.py",
    "../_base_/datasets/coco_detectron2.py",
    "../_base_/schedules/fcos_1x.py",
]

model = dict(
    backbone=dict(pretrained="open-mmlab://detectron2/resnet50_caffe"),
    bbox_head=dict(
        norm_on_bbox=True, centerness_on_reg=True, conv_bias=True, assigner=dict(center_radius=1.5),
        loss_bbox=dict(type="GIoULoss", loss_weight=1.0, _cover_=True), nms=dict(iou_threshold=0.6),
    ),
)
published = dict(row="mmdet-fcos-tricks-r50-1x")
