"""Imitation inside the objects' boxes on GFL: R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/insidegt_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 40.7, AP50 58.6, AP75 44.2 (README table of HikariTJU/LD; logit mimicking versus feature
imitation).
Measured with jld: not measured. Memory, time: not measured.
Differs: nothing known; the released code calls this "fitnet".
"""

_base_ = "none_gfl_r50_1x_coco.py"

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    terms=[
        dict(type="FeatureImitation", region="inside_gt", weight=2.0, needs_positives=True),
    ],
)
published = dict(row="ld-coco-imitation-inside-gt-r50-from-r101-1x")
