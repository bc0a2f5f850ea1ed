"""Quick start, distilled student: the plain student plus main LD and VLR LD from the teacher, nothing else.

Command: python tools/run_net.py --config-file=configs/quick_start/ld_noisy_gfl_student.py --task=train
(python tools/quick_start.py trains it after its teacher).
Published: none. Measured with jld: see README.md. The two terms of arXiv:2204.05957 with the weights and the
temperature of short schedules.
"""

_base_ = ["noisy_gfl_student.py", "../_base_/distill/short_schedule.py"]

distill = dict(
    teacher=dict(config="configs/quick_start/noisy_gfl_teacher.py", checkpoint="work_dirs/quick_start/teacher/checkpoints/last.pkl"),
)
