"""BCCD, plain student: GFL R-18 of a quarter of the width on 192x144 images, from scratch, without a teacher.

Command: python tools/run_net.py --config-file=projects/bccd/configs/gfl_student.py --task=train
Published: none. Measured with jld: see projects/bccd/README.md. Everything learns, batch statistics in BN; anchors of
4 strides because blood cells are 12 to 70 px at this size. Expects the BCCD folder (VOC layout) at data/bccd.
"""

_normalize = dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
_test_transforms = [dict(type="Resize", min_size=144, max_size=192), _normalize, dict(type="Pad", size_divisor=32)]
_voc = dict(type="VOCDataset", root="data/bccd", classes=["RBC", "WBC", "Platelets"])

model = dict(
    type="GFL",
    backbone=dict(type="ResNet", depth=18, base_channels=16, frozen_stages=-1, norm_eval=False),
    neck=dict(
        type="FPN", in_channels=[16, 32, 64, 128], out_channels=64, start_level=1, add_extra_convs=False, num_outs=3
    ),
    bbox_head=dict(
        type="GFLHead", num_classes=3, in_channels=64, feat_channels=64, stacked_convs=2, reg_max=16,
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
        **_voc, image_set="train", batch_size=4, num_workers=1, shuffle=True,
        transforms=[
            dict(type="Resize", min_size=144, max_size=192),
            dict(type="RandomFlip", prob=0.5, direction="horizontal"),
            _normalize,
            dict(type="Pad", size_divisor=32),
        ],
    ),
    val=dict(
        **_voc, image_set="test", filter_empty_gt=False, batch_size=4, num_workers=1, transforms=_test_transforms,
        evaluator="CocoEvaluator",
    ),
    test=dict(**_voc, image_set="test", filter_empty_gt=False, batch_size=4, transforms=_test_transforms),
)
optimizer = dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001, grad_clip=dict(max_norm=35, norm_type=2))
scheduler = dict(type="StepLR", milestones=[12, 14], gamma=0.1, warmup="linear", warmup_iters=100, warmup_ratio=0.1)
logger = dict(type="RunLogger", loggers=["TextLogger", "TensorboardLogger"])
max_epoch = 16
eval_interval = 4
checkpoint_interval = 4
log_interval = 17
