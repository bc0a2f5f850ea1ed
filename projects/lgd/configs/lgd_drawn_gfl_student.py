"""Drawn images, label-guided student: LGD on GFL R-18 with a quarter of the width, from scratch.

Command: python tools/run_net.py --config-file=projects/lgd/configs/lgd_drawn_gfl_student.py --task=train
(python projects/lgd/run.py trains it and its plain twin).
Published: none. Measured with jld: not measured.
"""

_base_ = ["drawn_gfl_student.py", "_base_/guided.py"]
