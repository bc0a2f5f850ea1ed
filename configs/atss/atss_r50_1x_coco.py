"""ATSS R-50, 1x, COCO, as mmDetection's atss_r50_fpn_1x_coco.

Command: python tools/run_net.py --config-file=configs/atss/atss_r50_1x_coco.py --task=train
Published: val AP 39.4 (mmDetection model zoo, ATSS).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/atss_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
]

published = dict(row="mmdet-atss-r50-1x")
