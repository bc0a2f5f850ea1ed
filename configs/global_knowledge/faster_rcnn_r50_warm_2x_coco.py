"""Faster R-CNN R-50, COCO: 24 more epochs for a trained detector, without distillation: the fair baseline.

Command: python tools/run_net.py --config-file=configs/global_knowledge/faster_rcnn_r50_warm_2x_coco.py --task=train
Published: none; the row that global knowledge on Faster R-CNN has to be compared with.
Measured with jld: not measured. Memory, time: not measured.
Start and schedule are those of gk_faster_rcnn_r50_from_r101_2x_coco.py, whose published gain is over 38.4, the
start itself.
"""

_base_ = [
    "../_base_/models/faster_rcnn_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/two_stage_2x.py",
]

pretrained_weights = "weights/faster_rcnn_r50_2x_coco.pth"
