"""GFL R-50, 1x, COCO, 16 images a step: the baseline of mmDetection's LD rows.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_r50_1x_coco_batch16.py --task=train
Published: val AP 40.2 (mmDetection model zoo, GFL).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
]
published = dict(row="mmdet-gfl-r50-1x")
