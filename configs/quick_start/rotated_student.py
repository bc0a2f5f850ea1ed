"""Quick start, oriented: rotated RetinaNet R-18 with GWD and box distributions on drawn aerial scenes, no teacher.

Command: python tools/run_net.py --config-file=configs/quick_start/rotated_student.py --task=train
(python tools/quick_start.py --oriented trains this, its teacher and its distilled twin).
Published: none. Measured with jld: see projects/rotated_ld/README.md. The published GWD model, smaller so that two CPU
cores finish in minutes: 128x128 images with thin objects 9 to 96 px long, 16 channels in the stem, a pyramid of three
levels with anchors from 16 px on; everything learns from scratch, batch statistics in BN.
"""

_base_ = [
    "../_base_/models/rotated_retinanet_r18_fpn.py",
    "../_base_/models/rotated_distribution.py",
    "../_base_/models/rotated_gwd.py",
]

_transforms = [dict(type="Normalize", mean=[116.0, 116.0, 116.0], std=[60.0, 60.0, 60.0]), dict(type="Pad", size_divisor=32)]
_drawn = dict(type="DrawnOrientedDataset", angle_version="oc")

model = dict(
    backbone=dict(base_channels=16, frozen_stages=-1, norm_eval=False, pretrained=None),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=48, add_extra_convs=False, num_outs=3),
    bbox_head=dict(
        num_classes=4, in_channels=48, feat_channels=48, stacked_convs=2,
        priors=dict(strides=[8, 16, 32], octave_base_scale=2, scales_per_octave=2),
    ),
)
dataset = dict(
    train=dict(
        **_drawn, split="train", num_images=1600, cache=True, batch_size=16, shuffle=True, num_workers=1,
        transforms=[
            dict(type="RotatedRandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
            *_transforms,
        ],
    ),
    val=dict(**_drawn, split="val", num_images=400, batch_size=16, num_workers=1, transforms=_transforms),
    test=dict(**_drawn, split="test", num_images=16, batch_size=16, transforms=_transforms),
)
optimizer = dict(type="AdamW", lr=0.001, weight_decay=0.0001, grad_clip=dict(max_norm=35, norm_type=2))
scheduler = dict(type="StepLR", milestones=[6, 7], gamma=0.3, warmup="linear", warmup_iters=50, warmup_ratio=0.1)
logger = dict(type="RunLogger", loggers=["TextLogger", "TensorboardLogger"])
max_epoch = 8
eval_interval = 2
checkpoint_interval = 2
log_interval = 20
