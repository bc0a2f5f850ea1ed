"""Quick start, oriented distilled student: the plain student plus LD and KD from the R-34 teacher.

Command: python tools/run_net.py --config-file=configs/quick_start/ld_rotated_student.py --task=train
(python tools/quick_start.py --oriented trains it after its teacher).
Published: none. Measured with jld: see projects/rotated_ld/README.md. Terms and temperature are those of the released
rotated GWD student (Zzh-tju/Rotated-LD); the region minds the angles of the ground truth, which the released one does not.
"""

_base_ = "rotated_student.py"

_region = dict(region="rotated_ld", temperature=5, weighting="iou", reduction="per_level_mean")

distill = dict(
    teacher=dict(
        config="configs/quick_start/rotated_teacher.py",
        checkpoint="work_dirs/quick_start_oriented/teacher/checkpoints/last.pkl",
    ),
    terms=[
        dict(type="LocalizationKD", weight=10.0, sides="sum", **_region),
        # The published 20 is for 15 classes; the divergence is a mean over classes, of which there are four here. A
        # tenth of it: from scratch the full weight drowns the detector's own losses in the first hundreds of steps.
        dict(type="ClassificationKD", weight=2.0 * 4 / 15, **_region),
    ],
)
