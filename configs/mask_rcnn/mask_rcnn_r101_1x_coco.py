"""Mask R-CNN R-101, 1x, COCO, as mmDetection's mask_rcnn_r101_fpn_1x.

Command: python tools/run_net.py --config-file=configs/mask_rcnn/mask_rcnn_r101_1x_coco.py --task=train
Published: val AP 40.0, and 36.1 of the masks (mmDetection model zoo, Mask R-CNN).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r50_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/two_stage_1x.py",
]

model = dict(backbone=dict(depth=101, pretrained="torchvision://resnet101"))
published = dict(row="mmdet-mask-rcnn-r101-1x")
