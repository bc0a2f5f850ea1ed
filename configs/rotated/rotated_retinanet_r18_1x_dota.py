"""Rotated RetinaNet R-18, 1x, DOTA-1.0 train to val: the baseline row of the Rotated-LD table.

Command: python tools/run_net.py --config-file=configs/rotated/rotated_retinanet_r18_1x_dota.py --task=train
Published: val AP 33.7, AP50 58.0, AP70 42.3, AP90 4.7 (README of Zzh-tju/Rotated-LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: the published AP comes from an evaluator that adds a fifteenth of the previous threshold's score to every
threshold above 0.5 (AP50 is right); DotaEvaluator(protocol="rotated_ld") repeats it. The repository has no config
of this row: plain deltas, L1, oc and upright matching are read from its neighbours.
"""

_base_ = [
    "../_base_/models/rotated_retinanet_r18_fpn.py",
    "../_base_/datasets/dota_1024.py",
    "../_base_/schedules/rotated_1x.py",
]

published = dict(row="rld-rotated-retinanet-r18-1x")
