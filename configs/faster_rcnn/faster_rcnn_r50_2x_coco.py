"""Faster R-CNN R-50, 2x, COCO: the student of the global knowledge table, mmDetection's
faster_rcnn_r50_fpn_2x.

Command: python tools/run_net.py --config-file=configs/faster_rcnn/faster_rcnn_r50_2x_coco.py --task=train
Published: val AP 38.4, AP50 59.0, AP75 42.0 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/faster_rcnn_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/two_stage_2x.py",
]

published = dict(row="gk-faster-rcnn-r50-2x")
