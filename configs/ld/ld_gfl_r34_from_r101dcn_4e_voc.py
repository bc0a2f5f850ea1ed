"""LD on GFL, main region only: R-34 from R-101-DCN, 4 epochs of three passes, VOC 07+12.

Command: python tools/run_net.py --config-file=configs/ld/ld_gfl_r34_from_r101dcn_4e_voc.py --task=train
Published: VOC07 test AP 56.7, AP50 78.4, AP75 62.1 (README table of HikariTJU/LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: no config was released for this row; sums over locations at 3 images per GPU are written as means
per image times 3.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/voc0712.py",
    "../_base_/schedules/schedule_voc.py",
    "../_base_/distill/main_ld.py",
]

model = dict(
    backbone=dict(depth=34, pretrained="torchvision://resnet34"), neck=dict(in_channels=[64, 128, 256, 512])
)
distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101dcn_16e_voc.py", checkpoint="weights/gfl_r101dcn_16e_voc.pth")
)
published = dict(row="ld-voc-r34-from-r101dcn")
