"""Rotated RetinaNet R-18 in JDet's conventions, 1x, patches of 600 px: JDet's plain row.

Command: python tools/run_net.py --config-file=configs/rotated/jdet_rotated_retinanet_r18_1x_dota.py --task=train
Published: DOTA-1.0 val AP50 67.2 (README of JDet's ld_rotated_retinanet; patches, area under the curve).
Measured with jld: not measured. Memory, time: not measured.
Differs: the published evaluator counts difficult objects class-agnostically and skips patches without objects;
DotaEvaluator(protocol="jdet") repeats it.
"""

_base_ = [
    "../_base_/models/rotated_retinanet_r18_fpn.py",
    "../_base_/models/rotated_jdet.py",
    "../_base_/datasets/dota_600_jdet.py",
    "../_base_/schedules/rotated_1x.py",
]

scheduler = dict(milestones=[7, 10])
published = dict(row="jdet-rotated-retinanet-r18-1x")
