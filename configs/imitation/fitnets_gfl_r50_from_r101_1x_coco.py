"""FitNets on GFL, the whole feature maps: R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/fitnets_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 40.7, AP50 58.6, AP75 44.0 (README table of HikariTJU/LD; logit mimicking versus feature
imitation).
Measured with jld: not measured. Memory, time: not measured.
Differs: the code of this row is no longer in the repository (its "fitnet" looks inside the objects only); the
weight is that of the other rows.
"""

_base_ = "none_gfl_r50_1x_coco.py"

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    terms=[
        dict(type="FeatureImitation", region="all", weight=2.0),
    ],
)
published = dict(row="ld-coco-imitation-fitnets-r50-from-r101-1x")
