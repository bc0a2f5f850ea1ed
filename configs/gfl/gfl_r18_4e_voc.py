"""GFL R-18, 4 epochs of three passes, VOC 07+12: the baseline row of the VOC table.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_r18_4e_voc.py --task=train
Published: VOC07 test AP 51.8, AP50 75.8, AP75 56.3 (README table of HikariTJU/LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: released with CIoU for R-18 at HEAD; the row does not say which, GIoU here as in the COCO rows.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/voc0712.py",
    "../_base_/schedules/schedule_voc.py",
]

model = dict(
    backbone=dict(depth=18, pretrained="torchvision://resnet18"), neck=dict(in_channels=[64, 128, 256, 512])
)
published = dict(row="ld-voc-r18")
