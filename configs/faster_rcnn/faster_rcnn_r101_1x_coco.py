"""Faster R-CNN R-101, 1x, COCO, as mmDetection's faster_rcnn_r101_fpn_1x.

Command: python tools/run_net.py --config-file=configs/faster_rcnn/faster_rcnn_r101_1x_coco.py --task=train
Published: val AP 39.4 (mmDetection model zoo, Faster R-CNN).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/faster_rcnn_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/two_stage_1x.py",
]

model = dict(backbone=dict(depth=101, pretrained="torchvision://resnet101"))
published = dict(row="mmdet-faster-rcnn-r101-1x")
