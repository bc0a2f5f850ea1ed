"""Mask R-CNN Swin-T, 3x, short side 640 to 800, COCO, in detectron2's conventions: the student of LGD without its
teacher. Images are BGR without a deviation, as released, although Swin's weights were trained on RGB with one.

Command: python tools/run_net.py --config-file=configs/mask_rcnn/mask_rcnn_swint_detectron2_ms_3x_coco.py --task=train
Published: val AP 45.5, and 41.8 of the masks (arXiv 2109.11496, table on the LGD poster).
Measured with jld: not measured. Memory, time: not measured.
"""

_base_ = [
    "../_base_/models/faster_rcnn_r50_detectron2_fpn.py",
    "../_base_/datasets/coco_detectron2_multiscale.py",
    "../_base_/schedules/detectron2_swin_3x.py",
]

model = dict(
    type="MaskRCNN",
    backbone=dict(
        type="SwinTransformer", embed_dims=96, depths=[2, 2, 6, 2], num_heads=[3, 6, 12, 24], window_size=7,
        drop_path_rate=0.2, out_indices=[0, 1, 2, 3], pretrained="swin://swin_tiny_patch4_window7_224", _cover_=True,
    ),
    neck=dict(in_channels=[96, 192, 384, 768]),
    roi_head=dict(
        mask_head=dict(
            type="MaskHead", num_classes=80, in_channels=256, conv_out_channels=256, num_convs=4, roi_feat_size=14,
            loss_mask=dict(type="CrossEntropyLoss", use_sigmoid=True, loss_weight=1.0),
        ),
    ),
)
dataset = dict(train=dict(with_masks=True), val=dict(with_masks=True), test=dict(with_masks=True))
published = dict(row="lgd-paper-mask-rcnn-swin-t-ms-3x-baseline")
