"""Training comparison, distilled student: main LD, VLR LD and main KD with the released sums and weights.

Command: python tools/run_net.py --config-file=projects/parity/configs/ld_gfl_student.py --task=train
(projects/parity/run.py first writes both files of weights, then trains it beside the reference).
Published: none. Measured with jld: losses step by step in README.md beside this folder.
"""

_base_ = "gfl_student.py"

distill = dict(
    teacher=dict(config="projects/parity/configs/gfl_teacher.py", checkpoint="work_dirs/parity/teacher.pth"),
    terms=[
        dict(type="LocalizationKD", region="main", weight=0.25, temperature=10, weighting="max_score"),
        dict(type="LocalizationKD", region="vlr", weight=0.0625, temperature=10, weighting="iou"),
        dict(type="ClassificationKD", region="main", weight=10.0, temperature=2),
    ],
)
