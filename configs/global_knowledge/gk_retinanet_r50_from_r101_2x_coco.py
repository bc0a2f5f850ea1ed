"""Global knowledge on RetinaNet: R-50 from R-101, 24 more epochs, COCO.

Command: python tools/run_net.py --config-file=configs/global_knowledge/gk_retinanet_r50_from_r101_2x_coco.py --task=train
Published: val AP 39.8, AP50 58.6, AP75 42.6 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
Differs: the release has no RetinaNet config; schedule, start and factors are those of its Faster R-CNN.
The student starts as a trained detector of 37.4 AP: compare with retinanet_r50_warm_2x_coco.py, not with 37.4.
"""

_base_ = ["../retinanet/retinanet_r50_2x_coco.py", "../_base_/distill/global_knowledge_retinanet.py"]

distill = dict(teacher=dict(config="configs/retinanet/retinanet_r101_2x_coco.py"))
published = dict(row="gk-retinanet-r50-from-r101")
