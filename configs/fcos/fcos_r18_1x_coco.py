"""FCOS R-18, 1x, COCO: a plain light-weight baseline in mmDetection's settings.

Command: python tools/run_net.py --config-file=configs/fcos/fcos_r18_1x_coco.py --task=train
Published: none.
Measured with jld: not measured. Memory, time: not measured.
Differs: there is no caffe-style R-18: backbone, its training and the RGB input are those of torchvision's weights.
"""

_base_ = [
    "../_base_/models/fcos_r50_caffe_fpn.py",
    "../_base_/datasets/coco_detection.py",
    "../_base_/schedules/fcos_1x.py",
]

model = dict(
    backbone=dict(depth=18, norm_trainable=True, style="pytorch", pretrained="torchvision://resnet18"),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
optimizer = dict(grad_clip=dict(max_norm=35, norm_type=2))
scheduler = dict(warmup="constant")
