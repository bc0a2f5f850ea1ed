"""Quick start, plain student: a narrow GFL R-18 on the drawn dataset, without a teacher.

Command: python tools/run_net.py --config-file=configs/quick_start/noisy_gfl_student.py --task=train
(python tools/quick_start.py trains this, its teacher and its distilled twins, all students from the weights of
noisy_gfl_start.py).
Published: none. Measured with jld: see README.md. The scene is small so that two CPU cores finish in minutes: 96x96
images of large figures, 8 channels in the stem, a pyramid of three levels, batch statistics in BN. The boxes to learn
from are off by 12 % of a side at every edge, those to be scored on are exact.
"""

_scene = dict(type="DrawnDataset", kinds=["ring", "triangle", "cross"], image_size=96, lengths=[32, 84], max_objects=3)
_transforms = [dict(type="Normalize", mean=[116.0, 116.0, 116.0], std=[60.0, 60.0, 60.0]), dict(type="Pad", size_divisor=32)]

model = dict(
    type="GFL",
    backbone=dict(type="ResNet", depth=18, base_channels=8, frozen_stages=-1, norm_eval=False),
    neck=dict(
        type="FPN", in_channels=[8, 16, 32, 64], out_channels=32, start_level=1, add_extra_convs=False, num_outs=3
    ),
    bbox_head=dict(
        type="GFLHead", num_classes=3, in_channels=32, feat_channels=32, stacked_convs=2, reg_max=16,
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
        **_scene, split="train", num_images=4000, box_noise=0.12, cache=True, batch_size=16, shuffle=True, num_workers=1,
        transforms=[dict(type="RandomFlip", prob=0.5, direction="horizontal"), *_transforms],
    ),
    val=dict(**_scene, split="val", num_images=500, batch_size=16, num_workers=1, transforms=_transforms),
    test=dict(**_scene, split="test", num_images=16, batch_size=16, transforms=_transforms),
)
optimizer = dict(type="AdamW", lr=0.002, weight_decay=0.0001, grad_clip=dict(max_norm=35, norm_type=2))
scheduler = dict(type="StepLR", milestones=[3], gamma=0.3, warmup="linear", warmup_iters=50, warmup_ratio=0.1)
logger = dict(type="RunLogger", loggers=["TextLogger", "TensorboardLogger"])
max_epoch = 4
eval_interval = 2
checkpoint_interval = 2
log_interval = 20
