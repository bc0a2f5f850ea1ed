"""Drawn images, plain student: GFL R-18 with a quarter of the width, from scratch.

Command: python tools/run_net.py --config-file=projects/lgd/configs/drawn_gfl_student.py --task=train
(python projects/lgd/run.py trains it and its LGD twin).
Published: none. Measured with jld: not measured.
"""

_base_ = [
    "_base_/gfl.py",
    "../../two_stage/configs/_base_/short.py",
    "_base_/drawn.py",
]
