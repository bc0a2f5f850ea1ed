"""Thermal drone images, distilled student: the plain student plus LD and KD from the R-34 teacher.

Command: python tools/run_net.py --config-file=projects/rotated_ld/configs/ld_hit_uav_student.py --task=train
Published: none. Measured with jld: see projects/rotated_ld/README.md. Terms are those of the published
rotated rows (Zzh-tju/Rotated-LD); the region minds the angles of the ground truth, which the released one does not.
"""

_base_ = "hit_uav_student.py"

_region = dict(region="rotated_ld", weighting="iou", reduction="per_level_mean")

distill = dict(
    teacher=dict(
        config="projects/rotated_ld/configs/hit_uav_teacher.py",
        checkpoint="work_dirs/hit_uav/retinanet_teacher/checkpoints/last.pkl",
    ),
    terms=[
        # Published at temperature 5. In a short training the peaks of the distributions teach more.
        dict(type="LocalizationKD", weight=10.0, temperature=1, sides="sum", **_region),
        # One class: the divergence of its sigmoid. The published 20 is a mean over 15 classes.
        dict(type="ClassificationKD", weight=2.0, temperature=5, **_region),
    ],
)
