"""What a two-stage detector needs on small images: few channels, anchors of 4 strides, few proposals; all from scratch."""

model = dict(
    backbone=dict(depth=18, base_channels=32, frozen_stages=-1, norm_eval=False, pretrained=None),
    neck=dict(in_channels=[32, 64, 128, 256], out_channels=64),
    rpn_head=dict(
        in_channels=64, feat_channels=64, priors=dict(octave_base_scale=4), sampler=dict(num=128), train_nms_pre=500,
        train_max_proposals=300, test_nms_pre=300, test_max_proposals=150,
    ),
    roi_head=dict(sampler=dict(num=64), bbox_head=dict(in_channels=64, fc_out_channels=256)),
)
logger = dict(type="RunLogger", loggers=["TextLogger", "TensorboardLogger"])
optimizer = dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001, grad_clip=dict(max_norm=35, norm_type=2))
scheduler = dict(type="StepLR", milestones=[6, 7], gamma=0.1, warmup="linear", warmup_iters=100, warmup_ratio=0.1)
max_epoch = 8
eval_interval = 2
checkpoint_interval = 2
log_interval = 17
