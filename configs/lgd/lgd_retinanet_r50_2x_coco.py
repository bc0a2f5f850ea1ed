"""LGD on RetinaNet R-50, 2x, COCO, on the RetinaNet of mmDetection.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_retinanet_r50_2x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: the released rows are detectron2's RetinaNet (BGR, multi-scale, 180,000 steps), this is mmDetection's; see
configs/_base_/distill/lgd.py for what is as released.
"""

_base_ = ["../retinanet/retinanet_r50_2x_coco.py", "../_base_/distill/lgd.py"]

published = None  # of the plain detector
