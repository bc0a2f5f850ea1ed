"""Quick start, distilled student: the plain student plus main LD, VLR LD and main KD from the R-34 teacher.

Command: python tools/quick_start.py
Published: none. Measured with jld: see README.md. The three terms, regions and temperatures are the paper's "Ours"
(arXiv:2204.05957); the weights are means per image.
"""

_base_ = "gfl_student.py"

distill = dict(
    teacher=dict(config="configs/quick_start/gfl_teacher.py", checkpoint="work_dirs/quick_start/teacher/checkpoints/last.pkl"),
    terms=[
        dict(type="LocalizationKD", region="main", weight=0.5, temperature=10, weighting="max_score", reduction="per_image"),
        dict(type="LocalizationKD", region="vlr", weight=0.125, temperature=10, weighting="iou", reduction="per_image"),
        dict(type="ClassificationKD", region="main", weight=10.0, temperature=2, reduction="per_level_mean"),
    ],
)
