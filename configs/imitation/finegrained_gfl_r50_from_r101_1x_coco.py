"""Fine-grained imitation (mask of FGFI) on GFL: R-50 from R-101, 1x, COCO.

Command: python tools/run_net.py --config-file=configs/imitation/finegrained_gfl_r50_from_r101_1x_coco.py --task=train
Published: val AP 41.1, AP50 58.8, AP75 44.8 (README table of HikariTJU/LD; logit mimicking versus feature
imitation).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released R-50 config trains LD at the same time; here exactly the row.
"""

_base_ = "none_gfl_r50_1x_coco.py"

distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth"),
    terms=[
        dict(type="FeatureImitation", region="fine_grained", weight=2.0, needs_positives=True),
    ],
)
published = dict(row="ld-coco-imitation-fine-grained-r50-from-r101-1x")
