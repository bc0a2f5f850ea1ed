"""Thermal drone images, distilled GWD student: LD and KD of `ld_hit_uav_student.py` from the GWD teacher.

Command: python tools/run_net.py --config-file=projects/rotated_ld/configs/ld_hit_uav_gwd_student.py --task=train
Published: none. Measured with jld: see projects/rotated_ld/README.md. A teacher with another box loss says the same box by
other numbers (width and height changed over, the angle a quarter turn on), which its distance cannot tell apart.
"""

_base_ = ["ld_hit_uav_student.py", "../../../configs/_base_/models/rotated_gwd.py"]

distill = dict(
    teacher=dict(
        config="projects/rotated_ld/configs/hit_uav_gwd_teacher.py",
        checkpoint="work_dirs/hit_uav/gwd_teacher/checkpoints/last.pkl",
    ),
)
