"""RetinaNet with ResNet-50 and FPN, as arXiv:1708.02002 and mmDetection's retinanet_r50_fpn."""

model = dict(
    type="RetinaNet",
    backbone=dict(
        type="ResNet", depth=50, frozen_stages=1, norm_eval=True, style="pytorch",
        pretrained="torchvision://resnet50",
    ),
    neck=dict(
        type="FPN", in_channels=[256, 512, 1024, 2048], out_channels=256, start_level=1,
        add_extra_convs="on_input", num_outs=5,
    ),
    bbox_head=dict(
        type="RetinaHead", num_classes=80, in_channels=256, feat_channels=256, stacked_convs=4,
        priors=dict(
            type="AnchorGenerator", strides=[8, 16, 32, 64, 128], octave_base_scale=4, scales_per_octave=3,
            ratios=[0.5, 1.0, 2.0],
        ),
        assigner=dict(type="MaxIoUAssigner", pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0.0),
        box_coder=dict(type="DeltaBoxCoder"),
        loss_cls=dict(type="FocalLoss", gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="L1Loss", loss_weight=1.0),
        score_threshold=0.05, nms_pre=1000, nms=dict(type="ClasswiseNMS", iou_threshold=0.5), max_per_image=100,
    ),
)
