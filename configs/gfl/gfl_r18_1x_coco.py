"""GFL R-18, 1x, COCO: the baseline row of the light-weight LD table.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_r18_1x_coco.py --task=train
Published: val AP 35.8, AP50 53.1, AP75 38.2 (README table of HikariTJU/LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: box loss is GIoU, as in the LD students and in mmDetection; the repository's own GFL baselines were
switched to CIoU in 2021.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
]

model = dict(
    backbone=dict(depth=18, pretrained="torchvision://resnet18"), neck=dict(in_channels=[64, 128, 256, 512])
)
dataset = dict(train=dict(batch_size=6))
optimizer = dict(lr=0.00375)  # 6 images a step: 6/16 of 0.01
published = dict(row="ld-coco-r18-1x")
