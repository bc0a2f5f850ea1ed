"""FCOS with a caffe-style ResNet-50 and FPN, as mmDetection's fcos_r50_caffe_fpn_gn-head; images are BGR."""

model = dict(
    type="FCOS",
    backbone=dict(
        type="ResNet", depth=50, frozen_stages=1, norm_eval=True, norm_trainable=False, style="caffe",
        pretrained="open-mmlab://detectron/resnet50_caffe",
    ),
    neck=dict(
        type="FPN", in_channels=[256, 512, 1024, 2048], out_channels=256, start_level=1,
        add_extra_convs="on_output", relu_before_extra_convs=True, num_outs=5,
    ),
    bbox_head=dict(
        type="FCOSHead", num_classes=80, in_channels=256, feat_channels=256, stacked_convs=4,
        priors=dict(type="AnchorGenerator", strides=[8, 16, 32, 64, 128], center_offset=0.5),
        assigner=dict(type="FCOSAssigner"),
        loss_cls=dict(type="FocalLoss", gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="IoULoss", loss_weight=1.0),
        loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
        score_threshold=0.05, nms_pre=1000, nms=dict(type="ClasswiseNMS", iou_threshold=0.5), max_per_image=100,
    ),
)
