"""RetinaNet with MSRA's ResNet-50 as detectron2 0.3 builds it: fixed normalisations, BGR, EMA normaliser, L1."""

_base_ = "retinanet_r50_fpn.py"

model = dict(
    backbone=dict(style="caffe", norm_trainable=False, pretrained="detectron2://R-50"),
    neck=dict(relu_before_extra_convs=True, init="c2_xavier"),
    bbox_head=dict(
        priors=dict(cell_order="scale_major"),
        assigner=dict(low_quality_box="own_best", padding="matched"),
        box_coder=dict(clip_shrinking=False),
        candidates="pairs",
        normalizer_momentum=0.9,
    ),
)
