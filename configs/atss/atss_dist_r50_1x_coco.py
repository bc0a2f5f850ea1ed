"""ATSS R-50 with box distributions, 1x, COCO, as HikariTJU/LD's atss_gfl_r50_1x: the plain student.

Command: python tools/run_net.py --config-file=configs/atss/atss_dist_r50_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/atss_dist_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
]

dataset = dict(train=dict(batch_size=4))
optimizer = dict(lr=0.0025)  # 4 images a step: 4/16 of 0.01
