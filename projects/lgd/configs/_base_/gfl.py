"""GFL R-18 with a quarter of the width and a pyramid of three levels, for small images; all from scratch."""

_base_ = "../../../../configs/_base_/models/gfl_r50_fpn.py"

model = dict(
    backbone=dict(depth=18, base_channels=16, frozen_stages=-1, norm_eval=False, pretrained=None),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=32, add_extra_convs=False, num_outs=3),
    bbox_head=dict(
        num_classes=3, in_channels=32, feat_channels=32, stacked_convs=2, num_norm_groups=8,
        priors=dict(strides=[8, 16, 32], octave_base_scale=4),
    ),
)
