"""RetinaNet R-101, 1x, COCO, as mmDetection's retinanet_r101_fpn_1x.

Command: python tools/run_net.py --config-file=configs/retinanet/retinanet_r101_1x_coco.py --task=train
Published: val AP 38.5 (mmDetection model zoo, RetinaNet).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/retinanet_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
]

model = dict(backbone=dict(depth=101, pretrained="torchvision://resnet101"))
published = dict(row="mmdet-retinanet-r101-1x")
