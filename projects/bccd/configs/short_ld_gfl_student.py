"""BCCD, student with LD for short schedules: the plain student plus strong main LD and VLR LD from the R-34 teacher.

Command: python tools/run_net.py --config-file=projects/bccd/configs/short_ld_gfl_student.py --task=train
Published: none. Measured with jld: see projects/bccd/README.md.
"""

_base_ = ["gfl_student.py", "../../../configs/_base_/distill/short_schedule.py"]

distill = dict(
    teacher=dict(
        config="projects/bccd/configs/gfl_teacher.py", checkpoint="work_dirs/bccd/teacher/checkpoints/last.pkl"
    ),
)
