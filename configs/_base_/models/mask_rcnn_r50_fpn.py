"""Mask R-CNN with ResNet-50 and FPN, as arXiv:1703.06870 and mmDetection's mask_rcnn_r50_fpn."""

_base_ = "faster_rcnn_r50_fpn.py"

model = dict(
    type="MaskRCNN",
    roi_head=dict(
        assigner=dict(match_low_quality=True),
        mask_head=dict(
            type="MaskHead", num_classes=80, in_channels=256, conv_out_channels=256, num_convs=4, roi_feat_size=14,
            loss_mask=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
        ),
    ),
)
