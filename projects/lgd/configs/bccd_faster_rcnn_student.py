"""Blood cells, plain student: Faster R-CNN R-18 with a quarter of the width, from scratch.

Command: python tools/run_net.py --config-file=projects/lgd/configs/bccd_faster_rcnn_student.py --task=train
(python projects/lgd/run.py trains it and its LGD twin).
Published: none. Measured with jld: see projects/lgd/README.md. Expects the BCCD folder (VOC layout) at data/bccd.
"""

_base_ = "../../two_stage/configs/faster_rcnn_student.py"
