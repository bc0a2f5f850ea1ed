"""Quick start, student with LD and imitation: the teacher's distributions, and its features in the main region.

Command: python tools/run_net.py --config-file=configs/quick_start/ld_imitation_noisy_gfl_student.py --task=train
(python tools/quick_start.py trains it after its teacher).
Published: none. Measured with jld: see README.md. A student from random weights lacks features most of all. The
published weight 2 is for features of an ImageNet backbone; those of this teacher, which learnt from scratch with
AdamW, differ from the student's by a mean square of 20, and 2 would drown everything else. Beside them LD has a
quarter of its weight: both at full weight stand in each other's way.
"""

_base_ = "noisy_gfl_student.py"

_ld = dict(type="LocalizationKD", temperature=1, reduction="per_image")

distill = dict(
    teacher=dict(config="configs/quick_start/noisy_gfl_teacher.py", checkpoint="work_dirs/quick_start/teacher/checkpoints/last.pkl"),
    terms=[
        dict(**_ld, region="main", weight=12.0 / 4, weighting="uniform"),
        dict(**_ld, region="vlr", weight=3.0 / 4, weighting="iou"),
        dict(type="FeatureImitation", region="main", weight=0.1, reduction="per_level_mean"),
    ],
)
