"""The drawn scenes of the quick start with the masks of their objects."""

_transforms = [dict(type="Normalize", mean=[116.0, 116.0, 116.0], std=[60.0, 60.0, 60.0]), dict(type="Pad", size_divisor=32)]
_drawn = dict(type="DrawnDataset", with_masks=True, batch_size=8, num_workers=1, transforms=_transforms)

dataset = dict(
    train=dict(
        _drawn, split="train", num_images=1600, cache=True, shuffle=True,
        transforms=[dict(type="RandomFlip", prob=0.5, direction="horizontal"), *_transforms],
    ),
    val=dict(_drawn, split="val", num_images=400),
    test=dict(_drawn, split="test", num_images=16),
)
