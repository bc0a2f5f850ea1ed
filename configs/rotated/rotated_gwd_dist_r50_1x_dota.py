"""Rotated GWD with box distributions, R-50, 1x, DOTA-1.0: the teacher of the R-50 LD config.

Command: python tools/run_net.py --config-file=configs/rotated/rotated_gwd_dist_r50_1x_dota.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: the repository names weights of this teacher, but holds a 2x config only.
"""

_base_ = [
    "../_base_/models/rotated_retinanet_r18_fpn.py",
    "../_base_/models/rotated_distribution.py",
    "../_base_/models/rotated_gwd.py",
    "../_base_/datasets/dota_1024.py",
    "../_base_/schedules/rotated_1x.py",
]

model = dict(backbone=dict(depth=50, pretrained="torchvision://resnet50"), neck=dict(in_channels=[256, 512, 1024, 2048]))
