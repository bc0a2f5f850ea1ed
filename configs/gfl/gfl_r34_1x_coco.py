"""GFL R-34, 1x, COCO: the baseline row of the light-weight LD table.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_r34_1x_coco.py --task=train
Published: val AP 38.9, AP50 56.6, AP75 42.2 (README table of HikariTJU/LD).
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
    backbone=dict(depth=34, pretrained="torchvision://resnet34"), neck=dict(in_channels=[64, 128, 256, 512])
)
dataset = dict(train=dict(batch_size=6))
optimizer = dict(lr=0.00375)  # 6 images a step: 6/16 of 0.01
published = dict(row="ld-coco-r34-1x")
