"""LGD on RetinaNet R-101-DCNv2, 2x, short side 640 to 800, COCO, in detectron2's conventions, as released.

Command: python tools/run_net.py --config-file=configs/lgd/lgd_retinanet_r101_dcnv2_detectron2_ms_2x_coco.py --task=train
Published: val AP 44.5 (README of megvii-research/LGD).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = ["../retinanet/retinanet_r101_dcnv2_detectron2_ms_2x_coco.py", "../_base_/distill/lgd.py"]

published = dict(row="lgd-retinanet-r101dcnv2-ms-2x")
