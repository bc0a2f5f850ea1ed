"""DOTA sample, plain student: rotated RetinaNet R-18 of half width with GWD and box distributions, from scratch.

Command: python tools/run_net.py --config-file=projects/rotated_ld/configs/rotated_gwd_student.py --task=train
Published: none. Measured with jld: see projects/rotated_ld/README.md. The model is that of the published GWD row but for
its width and its smaller anchors: vehicles here are 10 px wide. Everything learns, batch statistics in BN.
Expects patches of 256 px, overlap 64, at work_dirs/rotated_ld/patches/train_256_64_1.0 (run.py beside this folder cuts
them).
"""

_base_ = [
    "../../../configs/_base_/models/rotated_retinanet_r18_fpn.py",
    "../../../configs/_base_/models/rotated_distribution.py",
    "../../../configs/_base_/models/rotated_gwd.py",
]

_normalize = dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
_patches = dict(
    type="DOTADataset", dataset_dir="work_dirs/rotated_ld/patches/train_256_64_1.0", version="1", angle_version="oc",
    filter_empty_gt=False, num_workers=1,
)
_val = dict(_patches, batch_size=4, transforms=[_normalize, dict(type="Pad", size_divisor=32)])

model = dict(
    backbone=dict(base_channels=32, frozen_stages=-1, norm_eval=False, pretrained=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64, num_outs=4),
    bbox_head=dict(in_channels=64, feat_channels=64, stacked_convs=2, priors=dict(strides=[8, 16, 32, 64], octave_base_scale=2.5)),
)
dataset = dict(
    train=dict(
        _patches, batch_size=4, shuffle=True, times=10,
        transforms=[
            dict(type="RotatedRandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
            _normalize,
            dict(type="Pad", size_divisor=32),
        ],
    ),
    val=_val,
    test=_val,
)
optimizer = dict(type="AdamW", lr=0.001, weight_decay=0.0001, grad_clip=dict(max_norm=35, norm_type=2))
scheduler = dict(type="StepLR", milestones=[5, 7], gamma=0.3, warmup="linear", warmup_iters=50, warmup_ratio=0.1)
logger = dict(type="RunLogger", loggers=["TextLogger", "TensorboardLogger"])
max_epoch = 8
eval_interval = 2
checkpoint_interval = 2
log_interval = 10
