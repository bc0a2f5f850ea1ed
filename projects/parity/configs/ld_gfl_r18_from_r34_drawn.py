"""Student of the training comparison: GFL R-18 with main LD, VLR LD and main KD, the released sums and weights.

Command: python projects/parity/run.py
Published: none. Measured with jld: see README.md beside this folder.
"""

_base_ = "gfl_r34_drawn.py"

model = dict(backbone=dict(depth=18))
distill = dict(
    teacher=dict(config="projects/parity/configs/gfl_r34_drawn.py", checkpoint="work_dirs/parity/teacher.pth"),
    terms=[
        dict(type="LocalizationKD", region="main", weight=0.25, temperature=10, weighting="max_score"),
        dict(type="LocalizationKD", region="vlr", weight=0.0625, temperature=10, weighting="iou"),
        dict(type="ClassificationKD", region="main", weight=10.0, temperature=2),
    ],
)
