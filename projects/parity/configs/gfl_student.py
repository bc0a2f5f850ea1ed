"""Training comparison, plain student: GFL R-18 as in the released configs, on drawn images.

Command: python tools/run_net.py --config-file=projects/parity/configs/gfl_student.py --task=train
(projects/parity/run.py trains its distilled twin).
Published: none. Measured with jld: not measured; see README.md beside this folder.
"""

_base_ = "gfl_teacher.py"

model = dict(backbone=dict(depth=18))
