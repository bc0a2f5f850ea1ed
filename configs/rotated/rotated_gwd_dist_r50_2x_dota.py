"""Rotated GWD with box distributions, R-50, 2x, DOTA-1.0, a teacher of Rotated-LD.

Command: python tools/run_net.py --config-file=configs/rotated/rotated_gwd_dist_r50_2x_dota.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/rotated_retinanet_r18_fpn.py",
    "../_base_/models/rotated_distribution.py",
    "../_base_/models/rotated_gwd.py",
    "../_base_/datasets/dota_1024.py",
    "../_base_/schedules/rotated_2x.py",
]

model = dict(backbone=dict(depth=50, pretrained="torchvision://resnet50"), neck=dict(in_channels=[256, 512, 1024, 2048]))
