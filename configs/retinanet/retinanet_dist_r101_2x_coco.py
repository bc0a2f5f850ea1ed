"""RetinaNet with box distributions, R-101, 2x, COCO: an LD teacher (HikariTJU/LD, retinagfl_r101_2x_coco).

Command: python tools/run_net.py --config-file=configs/retinanet/retinanet_dist_r101_2x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/retinanet_dist_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_2x.py",
]

model = dict(backbone=dict(depth=101, pretrained="torchvision://resnet101"))
dataset = dict(train=dict(batch_size=4))
optimizer = dict(lr=0.0025)  # 4 images a step: 4/16 of 0.01
