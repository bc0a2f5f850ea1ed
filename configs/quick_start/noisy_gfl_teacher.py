"""Quick start, teacher: GFL R-18, three times as wide as the student and trained twice as long as it is
in all, on the same images and boxes.

Command: python tools/run_net.py --config-file=configs/quick_start/noisy_gfl_teacher.py --task=train
Published: none. Measured with jld: see README.md.
"""

_base_ = "noisy_gfl_student.py"

model = dict(
    backbone=dict(base_channels=24),
    neck=dict(in_channels=[24, 48, 96, 192]),
)
scheduler = dict(milestones=[9, 10])
max_epoch = 12
