"""LD and KD on rotated RetinaNet in JDet's conventions: R-18 from R-50, 1x: JDet's LD row.

Command: python tools/run_net.py --config-file=configs/rotated/jdet_ld_rotated_retinanet_r18_from_r50_1x_dota.py --task=train
Published: DOTA-1.0 val AP50 69.8 (README of JDet's ld_rotated_retinanet; patches, area under the curve).
Measured with jld: not measured. Memory, time: not measured.
Differs: the published evaluator counts difficult objects class-agnostically and skips patches without objects;
DotaEvaluator(protocol="jdet") repeats it. On a level without positives JDet distils boxes on every anchor, here
on none; its KD leaves out anchors that the assigner ignores, here they count.
"""

_base_ = "jdet_rotated_retinanet_dist_r18_1x_dota.py"

distill = dict(
    teacher=dict(
        config="configs/rotated/jdet_rotated_retinanet_dist_r50_1x_dota.py",
        checkpoint="weights/jdet_rotated_retinanet_dist_r50_1x_dota.pth",
    ),
    terms=[
        dict(
            type="LocalizationKD", region="main", weight=10.0, temperature=10, weighting="uniform", sides="mean",
            reduction="per_level_mean",
        ),
        dict(type="ClassificationKD", region="all", weight=10.0, temperature=2, reduction="per_level_mean"),
    ],
)
published = dict(row="jdet-ld-rotated-retinanet-r18-from-r50-1x")
