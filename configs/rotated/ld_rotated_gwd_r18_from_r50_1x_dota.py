"""LD, KD and feature imitation on rotated RetinaNet with GWD: R-18 from R-50, 1x, DOTA-1.0 (config without a row).

Command: python tools/run_net.py --config-file=configs/rotated/ld_rotated_gwd_r18_from_r50_1x_dota.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: the released imitation mask is scrambled (anchors are taken for locations); here it is the intended one, and
region="rotated_fine_grained_released" in its place is the scrambled one.
"""

_base_ = "rotated_gwd_dist_r18_1x_dota.py"

_released = dict(region="rotated_ld_released", temperature=5, weighting="iou", reduction="per_level_mean")

distill = dict(
    teacher=dict(
        config="configs/rotated/rotated_gwd_dist_r50_1x_dota.py",
        checkpoint="weights/rotated_gwd_dist_r50_1x_dota.pth",
    ),
    terms=[
        dict(type="LocalizationKD", weight=30.0, sides="sum", **_released),
        dict(type="ClassificationKD", weight=30.0, **_released),
        dict(type="FeatureImitation", region="rotated_fine_grained", weight=2.0),
    ],
    regions=dict(rotated_fine_grained=dict(type="RotatedFineGrained", geometry="ignore_angle")),
)
