"""GFL with ResNet-50 and FPN, as arXiv:2006.04388 and mmDetection's gfl_r50_fpn: the model every other one is a variant of."""

model = dict(
    type="GFL",
    backbone=dict(
        type="ResNet", depth=50, frozen_stages=1, norm_eval=True, style="pytorch",
        pretrained="torchvision://resnet50",
    ),
    neck=dict(
        type="FPN", in_channels=[256, 512, 1024, 2048], out_channels=256, start_level=1,
        add_extra_convs="on_output", num_outs=5,
    ),
    bbox_head=dict(
        type="GFLHead", num_classes=80, in_channels=256, feat_channels=256, stacked_convs=4, reg_max=16,
        priors=dict(type="AnchorGenerator", strides=[8, 16, 32, 64, 128], octave_base_scale=8),
        assigner=dict(type="ATSSAssigner", topk=9),
        loss_cls=dict(type="QualityFocalLoss", beta=2.0, loss_weight=1.0),
        loss_dfl=dict(type="DistributionFocalLoss", loss_weight=0.25),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
        score_threshold=0.05, nms_pre=1000, nms=dict(type="ClasswiseNMS", iou_threshold=0.6), max_per_image=100,
    ),
)
