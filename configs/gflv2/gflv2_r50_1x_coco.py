"""GFLv2 R-50, 1x, COCO, as HikariTJU/LD's gflv2_r50_fpn_1x_coco.

Command: python tools/run_net.py --config-file=configs/gflv2/gflv2_r50_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/gflv2_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
]
