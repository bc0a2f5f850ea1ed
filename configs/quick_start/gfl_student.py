"""Drawn images, plain student: a narrow GFL R-18, without a teacher.

Command: python tools/run_net.py --config-file=configs/quick_start/gfl_student.py --task=train
(projects/mixed_precision trains it; others inherit from it).
Published: none. Measured with jld: in earlier tables of projects/logit_vs_feature (commit d77c79b). The scene is small so that two
CPU cores finish in minutes: 128x128 images, 16 channels in the stem, a pyramid of three levels; everything learns from scratch, batch statistics in BN.
"""

_transforms = [dict(type="Normalize", mean=[116.0, 116.0, 116.0], std=[60.0, 60.0, 60.0]), dict(type="Pad", size_divisor=32)]

model = dict(
    type="GFL",
    backbone=dict(type="ResNet", depth=18, base_channels=16, frozen_stages=-1, norm_eval=False),
    neck=dict(
        type="FPN", in_channels=[16, 32, 64, 128], out_channels=48, start_level=1, add_extra_convs=False, num_outs=3
    ),
    bbox_head=dict(
        type="GFLHead", num_classes=5, in_channels=48, feat_channels=48, stacked_convs=2, reg_max=16,
        num_norm_groups=8,
        priors=dict(type="AnchorGenerator", strides=[8, 16, 32], octave_base_scale=4),
        assigner=dict(type="ATSSAssigner", topk=9),
        loss_cls=dict(type="QualityFocalLoss", beta=2.0, loss_weight=1.0),
        loss_dfl=dict(type="DistributionFocalLoss", loss_weight=0.25),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
        nms=dict(type="ClasswiseNMS", iou_threshold=0.6),
    ),
)
dataset = dict(
    train=dict(
        type="DrawnDataset", split="train", num_images=1600, cache=True, batch_size=16, shuffle=True, num_workers=1,
        transforms=[dict(type="RandomFlip", prob=0.5, direction="horizontal"), *_transforms],
    ),
    val=dict(type="DrawnDataset", split="val", num_images=400, batch_size=16, num_workers=1, transforms=_transforms),
    test=dict(type="DrawnDataset", split="test", num_images=16, batch_size=16, transforms=_transforms),
)
optimizer = dict(type="SGD", lr=0.02, momentum=0.9, weight_decay=0.0001, grad_clip=dict(max_norm=35, norm_type=2))
scheduler = dict(type="StepLR", milestones=[4, 5], gamma=0.3, warmup="linear", warmup_iters=50, warmup_ratio=0.1)
logger = dict(type="RunLogger", loggers=["TextLogger", "TensorboardLogger"])
max_epoch = 6
eval_interval = 2
checkpoint_interval = 2
log_interval = 20
