"""COCO 2017 with the short side drawn uniformly from 480 to 960 during training, as in GFLv2's 2x schedules."""

_base_ = "coco_detection.py"

dataset = dict(
    train=dict(
        transforms=[
            dict(type="Resize", min_size=[480, 960], max_size=1333, multiscale_mode="range"),
            dict(type="RandomFlip", prob=0.5, direction="horizontal"),
            dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
            dict(type="Pad", size_divisor=32),
        ]
    )
)
