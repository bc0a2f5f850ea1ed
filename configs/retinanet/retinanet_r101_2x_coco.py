"""RetinaNet R-101, 2x, COCO: the teacher of the global knowledge table, mmDetection's retinanet_r101_fpn_2x.

Command: python tools/run_net.py --config-file=configs/retinanet/retinanet_r101_2x_coco.py --task=train
Published: val AP 38.9, AP50 58.0, AP75 41.5 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/retinanet_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_2x.py",
]

model = dict(backbone=dict(depth=101, pretrained="torchvision://resnet101"))
published = dict(row="gk-retinanet-r101-2x")
