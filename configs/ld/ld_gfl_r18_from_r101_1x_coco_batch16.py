"""LD on GFL, main region only, 16 images a step: R-18 from R-101, 1x, COCO (mmDetection's LD).

Command: python tools/run_net.py --config-file=configs/ld/ld_gfl_r18_from_r101_1x_coco_batch16.py
--task=train
Published: val AP 36.5 (mmDetection model zoo, LD; 8 GPUs, lr 0.01).
Measured with jld: not measured. Memory, time: not measured.
Differs: the released sum over locations at 2 images per GPU is written as a mean per image times 2, equal
for any batch and device count.
"""

_base_ = [
    "../_base_/models/gfl_r50_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/schedule_1x.py",
    "../_base_/distill/main_ld_batch16.py",
]

model = dict(
    backbone=dict(depth=18, pretrained="torchvision://resnet18"), neck=dict(in_channels=[64, 128, 256, 512])
)
distill = dict(
    teacher=dict(config="configs/gfl/gfl_r101_ms_2x_coco.py", checkpoint="weights/gfl_r101_ms_2x_coco.pth")
)
published = dict(row="mmdet-ld-r18-from-r101-1x")
