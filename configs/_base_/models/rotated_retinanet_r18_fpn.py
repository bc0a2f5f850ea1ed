"""Rotated RetinaNet with ResNet-18, angles of the version oc, ground truth matched by its upright box ("HBB"), L1.

The model of arXiv:1708.02002 as mmRotate's rotated_retinanet_hbb_*_oc: every other rotated model is a variant of it.
"""

model = dict(
    type="RotatedRetinaNet",
    backbone=dict(
        type="ResNet", depth=18, frozen_stages=1, norm_eval=True, style="pytorch",
        pretrained="torchvision://resnet18",
    ),
    neck=dict(
        type="FPN", in_channels=[64, 128, 256, 512], out_channels=256, start_level=1,
        add_extra_convs="on_input", num_outs=5,
    ),
    bbox_head=dict(
        type="RotatedRetinaHead", num_classes=15, in_channels=256, feat_channels=256, stacked_convs=4,
        priors=dict(
            type="RotatedAnchorGenerator", strides=[8, 16, 32, 64, 128], octave_base_scale=4, scales_per_octave=3,
            ratios=[1.0, 0.5, 2.0],
        ),
        assigner=dict(
            type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0.0,
            overlaps=dict(type="RotatedOverlap", upright=True),
        ),
        box_coder=dict(
            type="DeltaXYWHAOBBoxCoder", angle_version="oc", edge_swap=False, proj_xy=False, norm_factor=None
        ),
        loss_cls=dict(type="FocalLoss", gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=1.0),
        score_threshold=0.05, nms_pre=2000, nms=dict(type="RotatedClasswiseNMS", iou_threshold=0.1),
        max_per_image=2000,
    ),
)
