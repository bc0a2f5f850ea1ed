"""Main LD + VLR LD + VLR KD on GFL: R-18 from R-101, 4 epochs of three passes, VOC 07+12.

Command: python tools/run_net.py --config-file=configs/ld/ldvlrkd_gfl_r18_from_r101_4e_voc.py --task=train
Published: VOC07 test AP 54.0 (README table of HikariTJU/LD, released weights).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released head multiplies VLR KD by zero, so this row cannot be trained with it; here it is a
term of its own (weight 10, temperature 2, mean over the region per level).
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/voc0712.py",
    "../_base_/schedules/schedule_voc.py",
    "../_base_/distill/vlr_kd.py",
]

model = dict(
    backbone=dict(depth=18, pretrained="torchvision://resnet18"), neck=dict(in_channels=[64, 128, 256, 512])
)
distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_16e_voc.py", checkpoint="weights/gfl_r101_16e_voc.pth")
)
model["bbox_head"] = dict(loss_bbox=dict(type="CIoULoss", loss_weight=2.0))
published = dict(row="ld-voc-r18-from-r101-vlr-kd")
