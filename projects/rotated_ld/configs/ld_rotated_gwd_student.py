"""DOTA sample, distilled student: the plain student plus LD and KD from the R-34 teacher.

Command: python tools/run_net.py --config-file=projects/rotated_ld/configs/ld_rotated_gwd_student.py --task=train
Published: none. Measured with jld: see projects/rotated_ld/README.md. Terms and temperatures are those of the
published GWD row (Zzh-tju/Rotated-LD); the region minds the angles of the ground truth, which the released one does not.
"""

_base_ = "rotated_gwd_student.py"

_region = dict(region="rotated_ld", temperature=5, weighting="iou", reduction="per_level_mean")

distill = dict(
    teacher=dict(
        config="projects/rotated_ld/configs/rotated_gwd_teacher.py",
        checkpoint="work_dirs/rotated_ld/teacher/checkpoints/last.pkl",
    ),
    terms=[
        dict(type="LocalizationKD", weight=10.0, sides="sum", **_region),
        # A tenth of the published 20 (for 15 classes, as here): from scratch the full weight drowns the detector's own
        # losses in the first hundreds of steps, see README.md.
        dict(type="ClassificationKD", weight=2.0, **_region),
    ],
)
