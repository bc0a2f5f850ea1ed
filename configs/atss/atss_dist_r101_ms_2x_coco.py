"""ATSS R-101 with box distributions, 2x, multi-scale 480-800, COCO, as HikariTJU/LD's atss_gfl_r101_2x: a
teacher.

Command: python tools/run_net.py --config-file=configs/atss/atss_dist_r101_ms_2x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/atss_dist_r50_fpn.py",
    "../_base_/datasets/coco_multiscale.py",
    "../_base_/schedules/schedule_2x.py",
]

model = dict(backbone=dict(depth=101, pretrained="torchvision://resnet101"))
dataset = dict(train=dict(batch_size=4))
optimizer = dict(lr=0.0025)  # 4 images a step: 4/16 of 0.01
