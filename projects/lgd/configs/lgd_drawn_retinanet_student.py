"""Drawn images, label-guided student: LGD on RetinaNet R-18 with a quarter of the width, from scratch.

Command: python tools/run_net.py --config-file=projects/lgd/configs/lgd_drawn_retinanet_student.py --task=train
(python projects/lgd/run.py trains it and its plain twin).
Published: none. Measured with jld: see projects/lgd/README.md.
"""

_base_ = ["drawn_retinanet_student.py", "_base_/guided.py"]
