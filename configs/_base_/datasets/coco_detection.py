"""COCO 2017: single scale (1333, 800), flip 0.5. Expects data/coco/{train2017,val2017,annotations}."""

_normalize = dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
_test_transforms = [dict(type="Resize", min_size=800, max_size=1333), _normalize, dict(type="Pad", size_divisor=32)]
_val = dict(
    type="COCODataset", root="data/coco/val2017", anno_file="data/coco/annotations/instances_val2017.json",
    transforms=_test_transforms, filter_empty_gt=False, batch_size=1, num_workers=2,
)

dataset = dict(
    train=dict(
        type="COCODataset", root="data/coco/train2017", anno_file="data/coco/annotations/instances_train2017.json",
        transforms=[
            dict(type="Resize", min_size=800, max_size=1333),
            dict(type="RandomFlip", prob=0.5, direction="horizontal"),
            _normalize,
            dict(type="Pad", size_divisor=32),
        ],
        batch_size=16, num_workers=4, shuffle=True, group_by_aspect_ratio=True,
    ),
    val=_val,
    test=_val,
)
