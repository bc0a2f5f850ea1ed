"""Global knowledge for Faster R-CNN as released: factors, warm start, prototypes before every epoch, RoIs."""

_attenuation = dict(type="EpochDecay")

# A finished detector goes on learning: the prototypes of an untrained student would say nothing.
pretrained_weights = "weights/faster_rcnn_r50_2x_coco.pth"

distill = dict(
    teacher=dict(
        config="configs/faster_rcnn/faster_rcnn_r101_2x_coco.py", checkpoint="weights/faster_rcnn_r101_2x_coco.pth"
    ),
    terms=[
        dict(
            type="RobustFeatures", object_weight=1.0, background_weight=4.0, over_levels="mean", padding="included",
            stage="roi", max_instances=128, schedule=_attenuation,
        ),
        dict(
            type="RobustLabels", weight=1.0, temperature=2.0, described_by="roi_align", stage="roi", max_instances=128
        ),
        dict(type="GlobalKnowledge", weight=5.0, stage="roi", max_instances=128, schedule=_attenuation),
    ],
)

hooks = [
    dict(
        type="PrototypeHook", count=10, tie=10.0, max_images=800, min_side_px=30.0, exclude_chosen=False, num_workers=4,
        transforms=[
            dict(type="Resize", min_size=800, max_size=1333),
            dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
            dict(type="Pad", size_divisor=32),
        ],
    ),
]
