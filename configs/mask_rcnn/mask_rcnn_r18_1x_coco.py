"""Mask R-CNN R-18, 1x, COCO: a plain light-weight baseline in mmDetection's settings.

Command: python tools/run_net.py --config-file=configs/mask_rcnn/mask_rcnn_r18_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/mask_rcnn_r50_fpn.py",
    "../_base_/datasets/coco_instance.py",
    "../_base_/schedules/two_stage_1x.py",
]

model = dict(
    backbone=dict(depth=18, pretrained="torchvision://resnet18"), neck=dict(in_channels=[64, 128, 256, 512])
)
