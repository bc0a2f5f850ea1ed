"""RetinaNet R-50, 2x, COCO: the student of the global knowledge table, mmDetection's retinanet_r50_fpn_2x.

Command: python tools/run_net.py --config-file=configs/retinanet/retinanet_r50_2x_coco.py --task=train
Published: val AP 37.4, AP50 56.7, AP75 39.6 (README of hikvision-research/DAVAR-Lab-ML).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/retinanet_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_2x.py",
]

published = dict(row="gk-retinanet-r50-2x")
