"""COCO 2017 for backbones of Detectron2 with six short sides from 640 to 800, as detectron2 trains."""

_base_ = "coco_detection.py"

_normalize = dict(type="Normalize", mean=[103.53, 116.28, 123.675], std=[1.0, 1.0, 1.0], to_rgb=False)
_test = dict(
    transforms=[dict(type="Resize", min_size=800, max_size=1333), _normalize, dict(type="Pad", size_divisor=32)]
)

dataset = dict(
    train=dict(
        transforms=[
            dict(
                type="Resize", min_size=[640, 672, 704, 736, 768, 800], max_size=1333, multiscale_mode="value"
            ),
            dict(type="RandomFlip", prob=0.5, direction="horizontal"),
            _normalize,
            dict(type="Pad", size_divisor=32),
        ]
    ),
    val=_test,
    test=_test,
)
