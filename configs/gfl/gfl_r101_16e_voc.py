"""GFL R-101, 16 epochs of three passes, VOC 07+12: the teacher of the VOC table.

Command: python tools/run_net.py --config-file=configs/gfl/gfl_r101_16e_voc.py --task=train
Published: no score is published for it.
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/voc0712.py",
    "../_base_/schedules/schedule_voc.py",
]

model = dict(backbone=dict(depth=101, pretrained="torchvision://resnet101"))
scheduler = dict(milestones=[12])
max_epoch = 16
