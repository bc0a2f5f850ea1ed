"""Quick start, what all students start from: the plain student after its first two epochs, at the full rate.

Command: python tools/run_net.py --config-file=configs/quick_start/noisy_gfl_start.py --task=train
(python tools/quick_start.py trains it before the students).
Published: none. Measured with jld: see README.md. Published students start from trained features, too: localization
distillation teaches one that finds objects already where their edges are.
"""

_base_ = "noisy_gfl_student.py"

scheduler = dict(milestones=[])
max_epoch = 2
