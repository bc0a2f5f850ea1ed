"""Faster R-CNN R-101, 2x, COCO: the teacher of the global knowledge table, mmDetection's
faster_rcnn_r101_fpn_2x.

Command: python tools/run_net.py --config-file=configs/faster_rcnn/faster_rcnn_r101_2x_coco.py --task=train
Published: val AP 39.8, AP50 60.1, AP75 43.3 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/faster_rcnn_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/two_stage_2x.py",
]

model = dict(backbone=dict(depth=101, pretrained="torchvision://resnet101"))
published = dict(row="gk-faster-rcnn-r101-2x")
