"""Rotated RetinaNet with KLD and box distributions, R-34, 2x, DOTA-1.0: the teacher of the KLD LD config.

Command: python tools/run_net.py --config-file=configs/rotated/rotated_kld_dist_r34_2x_dota.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/rotated_retinanet_r18_fpn.py",
    "../_base_/models/rotated_distribution.py",
    "../_base_/models/rotated_kld.py",
    "../_base_/datasets/dota_1024.py",
    "../_base_/schedules/rotated_2x.py",
]

model = dict(backbone=dict(depth=34, pretrained="torchvision://resnet34"))
