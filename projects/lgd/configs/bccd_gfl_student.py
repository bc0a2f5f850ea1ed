"""Blood cells, plain student: GFL R-18 with a quarter of the width, from scratch.

Command: python tools/run_net.py --config-file=projects/lgd/configs/bccd_gfl_student.py --task=train
(python projects/lgd/run.py trains it and its LGD twin).
Published: none. Measured with jld: not measured. Expects the BCCD folder (VOC layout) at data/bccd.
"""

_base_ = [
    "_base_/gfl.py",
    "../../two_stage/configs/_base_/short.py",
    "../../two_stage/configs/_base_/bccd.py",
]
