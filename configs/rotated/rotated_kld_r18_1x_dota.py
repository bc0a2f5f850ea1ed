"""Rotated RetinaNet with KLD, R-18, 1x, DOTA-1.0: the plain baseline of the KLD configs.

Command: python tools/run_net.py --config-file=configs/rotated/rotated_kld_r18_1x_dota.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: there is no such config upstream.
"""

_base_ = [
    "../_base_/models/rotated_retinanet_r18_fpn.py",
    "../_base_/models/rotated_kld.py",
    "../_base_/datasets/dota_1024.py",
    "../_base_/schedules/rotated_1x.py",
]
