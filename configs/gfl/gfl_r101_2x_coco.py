"""GFL R-101, 2x, multi-scale, COCO: the baseline row of the light-weight LD table.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_r101_2x_coco.py --task=train
Published: val AP 44.6, AP50 62.9, AP75 48.4 (README table of HikariTJU/LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: box loss is GIoU, see gfl_r50_1x_coco.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/coco_multiscale.py",
    "../_base_/schedules/schedule_2x.py",
]

model = dict(backbone=dict(depth=101, pretrained="torchvision://resnet101"))
dataset = dict(train=dict(batch_size=6))
optimizer = dict(lr=0.00375)  # 6 images a step: 6/16 of 0.01
published = dict(row="ld-coco-r101-2x")
