"""The scenes of the quick start (96x96, large figures) with exact boxes."""

_transforms = [dict(type="Normalize", mean=[116.0, 116.0, 116.0], std=[60.0, 60.0, 60.0]), dict(type="Pad", size_divisor=32)]
_drawn = dict(
    type="DrawnDataset", kinds=["ring", "triangle", "cross"], image_size=96, lengths=[32, 84], max_objects=3,
    batch_size=16, num_workers=1, transforms=_transforms,
)

dataset = dict(
    train=dict(
        _drawn, split="train", num_images=800, cache=True, shuffle=True,
        transforms=[dict(type="RandomFlip", prob=0.5, direction="horizontal"), *_transforms],
    ),
    val=dict(_drawn, split="val", num_images=500),
    test=dict(_drawn, split="test", num_images=16),
)
