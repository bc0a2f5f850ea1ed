"""What a two-stage detector needs on small images: few channels, anchors of 4 strides, few proposals."""

model = dict(
    backbone=dict(depth=18, base_channels=16, frozen_stages=-1, norm_eval=False, pretrained=None),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=32),
    rpn_head=dict(
        in_channels=32, feat_channels=32, priors=dict(octave_base_scale=4), sampler=dict(num=64), train_nms_pre=200,
        train_max_proposals=100, test_nms_pre=200, test_max_proposals=100,
    ),
    roi_head=dict(sampler=dict(num=32), bbox_head=dict(num_classes=3, in_channels=32, fc_out_channels=128)),
)
