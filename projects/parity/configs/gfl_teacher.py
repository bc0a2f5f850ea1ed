"""Training comparison, teacher: GFL R-34 as in the released configs, on drawn images.

Command: python tools/run_net.py --config-file=projects/parity/configs/gfl_teacher.py --task=train
(projects/parity/run.py only fills its weights by formula).
Published: none. Measured with jld: not measured; see README.md beside this folder.
"""

_base_ = "../../../configs/_base_/models/gfl_r50_fpn.py"

_transforms = [
    # 128 x 160 px become 150 x 188: boxes end between pixels, and the maps have odd sizes.
    dict(type="Resize", min_size=150, max_size=190),
    dict(type="Normalize", mean=[116.0, 116.0, 116.0], std=[60.0, 60.0, 60.0]),
    dict(type="Pad", size_divisor=32),
]

model = dict(
    backbone=dict(depth=34, pretrained=None),
    neck=dict(in_channels=[64, 128, 256, 512]),
    bbox_head=dict(num_classes=5),
)
dataset = dict(
    train=dict(
        type="DrawnDataset", split="train", num_images=12, image_size=[128, 160], seed=1, batch_size=2, shuffle=True,
        transforms=_transforms,
    ),
)
optimizer = dict(type="SGD", lr=0.002, momentum=0.9, weight_decay=0.0001, grad_clip=dict(max_norm=35, norm_type=2))
scheduler = dict(type="StepLR", milestones=[20], gamma=0.1, warmup="linear", warmup_iters=8, warmup_ratio=0.1)
logger = dict(type="RunLogger", loggers=["TextLogger"])
max_iter = 24
log_interval = 1
checkpoint_interval = None
