"""Drawn images, distilled student: the plain student plus main LD, VLR LD and main KD from the R-34 teacher.

Command: python tools/run_net.py --config-file=configs/quick_start/ld_gfl_student.py --task=train
(after its teacher).
Published: none. Measured with jld: in earlier tables of projects/logit_vs_feature (commit d77c79b). The three terms,
regions and temperatures are the paper's "Ours"
(arXiv:2204.05957). The localization weights are twelve times the published 0.25 and 0.0625 as means per image: a drawn
image has few positives, and the released sum over a batch of 16 would weigh about as much.
"""

_base_ = "gfl_student.py"

distill = dict(
    teacher=dict(config="configs/quick_start/gfl_teacher.py", checkpoint="work_dirs/quick_start/teacher/checkpoints/last.pkl"),
    terms=[
        dict(type="LocalizationKD", region="main", weight=0.25 * 12, temperature=10, weighting="max_score", reduction="per_image"),
        dict(type="LocalizationKD", region="vlr", weight=0.0625 * 12, temperature=10, weighting="iou", reduction="per_image"),
        # The published 10 is for 80 classes; the divergence is a mean over classes, of which there are five here.
        dict(type="ClassificationKD", region="main", weight=10.0 * 5 / 80, temperature=2, reduction="per_level_mean"),
    ],
)
