"""Drawn images, label-guided student: LGD on Faster R-CNN R-18 with a quarter of the width, from scratch.

Command: python tools/run_net.py --config-file=projects/lgd/configs/lgd_drawn_faster_rcnn_student.py --task=train
(python projects/lgd/run.py trains it and its plain twin).
Published: none. Measured with jld: see projects/lgd/README.md.
"""

_base_ = ["drawn_faster_rcnn_student.py", "_base_/guided.py"]

# As released for two stages.
distill = dict(teacher=dict(context_box=False, detach_appearance=True))
