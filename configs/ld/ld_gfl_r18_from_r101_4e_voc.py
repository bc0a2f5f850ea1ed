"""LD on GFL, main region only: R-18 from R-101, 4 epochs of three passes, VOC 07+12.

Command: python tools/run_net.py --config-file=configs/ld/ld_gfl_r18_from_r101_4e_voc.py --task=train
Published: VOC07 test AP 53.0, AP50 75.9, AP75 57.6 (README table of HikariTJU/LD).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released config uses CIoU; sums over locations at 3 images per GPU are written as means per
image times 3. It also leaves VLR LD and main KD at their class defaults; here only main LD is on, with the
released CIoU.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/voc0712.py",
    "../_base_/schedules/schedule_voc.py",
    "../_base_/distill/main_ld.py",
]

model = dict(
    backbone=dict(depth=18, pretrained="torchvision://resnet18"), neck=dict(in_channels=[64, 128, 256, 512])
)
distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_16e_voc.py", checkpoint="weights/gfl_r101_16e_voc.pth")
)
model["bbox_head"] = dict(loss_bbox=dict(type="CIoULoss", loss_weight=2.0))
published = dict(row="ld-voc-r18-from-r101")
