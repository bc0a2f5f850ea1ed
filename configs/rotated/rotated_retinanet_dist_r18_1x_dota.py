"""Rotated RetinaNet R-18 with box distributions, 1x, DOTA-1.0: the student of the LD row without its teacher.

Command: python tools/run_net.py --config-file=configs/rotated/rotated_retinanet_dist_r18_1x_dota.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: there is no such config upstream; its head cannot be trained with L1.
"""

_base_ = [
    "../_base_/models/rotated_retinanet_r18_fpn.py",
    "../_base_/models/rotated_distribution.py",
    "../_base_/datasets/dota_1024.py",
    "../_base_/schedules/rotated_1x.py",
]
