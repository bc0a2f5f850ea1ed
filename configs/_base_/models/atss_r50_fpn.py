"""ATSS with ResNet-50 and FPN, as arXiv:1912.02424 and mmDetection's atss_r50_fpn."""

_base_ = "gfl_r50_fpn.py"

model = dict(
    type="ATSS",
    bbox_head=dict(
        _cover_=True, type="ATSSHead", num_classes=80, in_channels=256, feat_channels=256, stacked_convs=4,
        priors=dict(type="AnchorGenerator", strides=[8, 16, 32, 64, 128], octave_base_scale=8),
        assigner=dict(type="ATSSAssigner", topk=9),
        box_coder=dict(type="DeltaBoxCoder", means=[0.0, 0.0, 0.0, 0.0], stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type="FocalLoss", gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type="GIoULoss", loss_weight=2.0),
        loss_centerness=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
        score_threshold=0.05, nms_pre=1000, nms=dict(type="ClasswiseNMS", iou_threshold=0.6), max_per_image=100,
    ),
)
