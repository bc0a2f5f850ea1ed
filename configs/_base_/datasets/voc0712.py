"""PASCAL VOC 07+12 trainval, three passes per epoch; test on VOC 2007, 11-point AP. Expects data/VOCdevkit."""

_normalize = dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
_val = dict(
    type="VOCDataset", root="data/VOCdevkit/VOC2007", image_set="test",
    transforms=[dict(type="Resize", min_size=800, max_size=1333), _normalize, dict(type="Pad", size_divisor=32)],
    filter_empty_gt=False, batch_size=1, num_workers=2, evaluator=dict(type="VocEvaluator", metric="07"),
)

dataset = dict(
    train=dict(
        type="VOCDataset", root=["data/VOCdevkit/VOC2007", "data/VOCdevkit/VOC2012"], image_set="trainval", times=3,
        transforms=[
            dict(type="Resize", min_size=800, max_size=1333),
            dict(type="RandomFlip", prob=0.5, direction="horizontal"),
            _normalize,
            dict(type="Pad", size_divisor=32),
        ],
        batch_size=6, num_workers=4, shuffle=True, group_by_aspect_ratio=True,
    ),
    val=_val,
    test=_val,
)
model = dict(bbox_head=dict(num_classes=20))
