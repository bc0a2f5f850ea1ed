"""Rotated RetinaNet R-50 with box distributions in JDet's conventions, 1x: the teacher of JDet's LD row.

Command: python tools/run_net.py --config-file=configs/rotated/jdet_rotated_retinanet_dist_r50_1x_dota.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/rotated_retinanet_r18_fpn.py",
    "../_base_/models/rotated_distribution.py",
    "../_base_/models/rotated_jdet.py",
    "../_base_/datasets/dota_600_jdet.py",
    "../_base_/schedules/rotated_1x.py",
]

model = dict(backbone=dict(depth=50, pretrained="torchvision://resnet50"), neck=dict(in_channels=[256, 512, 1024, 2048]))
scheduler = dict(milestones=[7, 10])
