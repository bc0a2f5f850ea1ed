"""GFL R-34, 4 epochs of three passes, VOC 07+12: the baseline row of the VOC table.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_r34_4e_voc.py --task=train
Published: VOC07 test AP 55.7, AP50 78.9, AP75 60.6 (README table of HikariTJU/LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: released with CIoU for R-18 at HEAD; the row does not say which, GIoU here as in the COCO rows.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/voc0712.py",
    "../_base_/schedules/schedule_voc.py",
]

model = dict(
    backbone=dict(depth=34, pretrained="torchvision://resnet34"), neck=dict(in_channels=[64, 128, 256, 512])
)
published = dict(row="ld-voc-r34")
