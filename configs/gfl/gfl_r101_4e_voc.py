"""GFL R-101, 4 epochs of three passes, VOC 07+12: the baseline row of the VOC table.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_r101_4e_voc.py --task=train
Published: VOC07 test AP 57.6, AP50 80.4, AP75 62.7 (README table of HikariTJU/LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: released with CIoU for R-18 at HEAD; the row does not say which, GIoU here as in the COCO rows.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/voc0712.py",
    "../_base_/schedules/schedule_voc.py",
]

model = dict(backbone=dict(depth=101, pretrained="torchvision://resnet101"))
published = dict(row="ld-voc-r101")
