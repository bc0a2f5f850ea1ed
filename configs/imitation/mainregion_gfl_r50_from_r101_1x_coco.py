"""Imitation at the positives on GFL: R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/mainregion_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 41.1, AP50 58.7, AP75 44.4 (README table of HikariTJU/LD; logit mimicking versus feature
imitation).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released code has no switch for this row; the weight is that of the other rows.
"""

_base_ = "none_gfl_r50_1x_coco.py"

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    terms=[
        dict(type="FeatureImitation", region="main", weight=2.0, needs_positives=True),
    ],
)
published = dict(row="ld-coco-imitation-main-r50-from-r101-1x")
