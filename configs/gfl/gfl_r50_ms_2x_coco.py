"""GFL R-50, 2x, multi-scale 480-800, COCO: a teacher.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_r50_ms_2x_coco.py --task=train
Published: val AP 42.9 (mmDetection model zoo, GFL).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/coco_multiscale.py",
    "../_base_/schedules/schedule_2x.py",
]
published = dict(row="mmdet-gfl-r50-ms-2x")
