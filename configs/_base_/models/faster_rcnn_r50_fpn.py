"""Faster R-CNN with ResNet-50 and FPN, as arXiv:1612.03144 and mmDetection's faster_rcnn_r50_fpn."""

model = dict(
    type="FasterRCNN",
    backbone=dict(
        type="ResNet", depth=50, frozen_stages=1, norm_eval=True, style="pytorch",
        pretrained="torchvision://resnet50",
    ),
    neck=dict(type="FPN", in_channels=[256, 512, 1024, 2048], out_channels=256, num_outs=5),
    rpn_head=dict(
        type="RPNHead", in_channels=256, feat_channels=256,
        priors=dict(
            type="AnchorGenerator", strides=[4, 8, 16, 32, 64], octave_base_scale=8, ratios=[0.5, 1.0, 2.0]
        ),
        assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.7, neg_iou_thr=0.3, min_pos_iou=0.3),
        sampler=dict(type="RandomSampler", num=256, pos_fraction=0.5),
        box_coder=dict(type="DeltaBoxCoder"),
        loss_cls=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=1.0),
        train_nms_pre=2000, train_max_proposals=1000, test_nms_pre=1000, test_max_proposals=1000,
        nms_threshold=0.7, min_size_px=0.0,
    ),
    roi_head=dict(
        type="RoIHead", strides=[4, 8, 16, 32], sampling_ratio=0,
        bbox_head=dict(
            type="BoxHead", num_classes=80, in_channels=256, fc_out_channels=1024, roi_feat_size=7,
            box_coder=dict(type="DeltaBoxCoder", means=[0.0, 0.0, 0.0, 0.0], stds=[0.1, 0.1, 0.2, 0.2]),
            loss_cls=dict(type="CrossEntropyLoss", loss_weight=1.0),
            loss_bbox=dict(type="L1Loss", loss_weight=1.0),
            score_threshold=0.05, nms=dict(type="ClasswiseNMS", iou_threshold=0.5), max_per_image=100,
        ),
        assigner=dict(
            type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.5, min_pos_iou=0.5, match_low_quality=False
        ),
        sampler=dict(type="RandomSampler", num=512, pos_fraction=0.25), add_gt_as_proposals=True,
    ),
)
