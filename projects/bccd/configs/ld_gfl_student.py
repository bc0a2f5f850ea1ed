"""BCCD, distilled student: the plain student plus main LD, VLR LD and main KD from the R-34 teacher.

Command: python tools/run_net.py --config-file=projects/bccd/configs/ld_gfl_student.py --task=train
Published: none. Measured with jld: see projects/bccd/README.md. Terms and temperatures as the paper's "Ours"
(arXiv:2204.05957), weights as means per image.
"""

_base_ = "gfl_student.py"

distill = dict(
    teacher=dict(
        config="projects/bccd/configs/gfl_teacher.py", checkpoint="work_dirs/bccd/teacher/checkpoints/last.pkl"
    ),
    terms=[
        dict(
            type="LocalizationKD", region="main", weight=0.5, temperature=10, weighting="max_score",
            reduction="per_image",
        ),
        dict(
            type="LocalizationKD", region="vlr", weight=0.125, temperature=10, weighting="iou", reduction="per_image"
        ),
        # The published 10 is for 80 classes; the divergence is a mean over classes, of which there are three here.
        dict(
            type="ClassificationKD", region="main", weight=10.0 * 3 / 80, temperature=2, reduction="per_level_mean"
        ),
    ],
)
