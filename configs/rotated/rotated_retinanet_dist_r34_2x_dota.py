"""Rotated RetinaNet R-34 with box distributions, 2x, DOTA-1.0: the teacher of the Rotated-LD row with L1.

Command: python tools/run_net.py --config-file=configs/rotated/rotated_retinanet_dist_r34_2x_dota.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: the repository has no config of this teacher; its head cannot be trained with L1.
"""

_base_ = [
    "../_base_/models/rotated_retinanet_r18_fpn.py",
    "../_base_/models/rotated_distribution.py",
    "../_base_/datasets/dota_1024.py",
    "../_base_/schedules/rotated_2x.py",
]

model = dict(backbone=dict(depth=34, pretrained="torchvision://resnet34"))
