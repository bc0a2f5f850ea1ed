"""DOTA-1.0 patches of 1024 px, overlap 200, cut by mmRotate's rules: train for training, val for validation.

Expects data/DOTA_mmrotate/{train,val}_1024_200_1.0, made by tools/preprocess.py with style="mmrotate".
"""

_normalize = dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
_val = dict(
    type="DOTADataset", dataset_dir="data/DOTA_mmrotate/val_1024_200_1.0", version="1", angle_version="oc",
    filter_empty_gt=False, batch_size=1, num_workers=2,
    transforms=[dict(type="RotatedResize", min_size=1024, max_size=1024), _normalize, dict(type="Pad", size_divisor=32)],
)

dataset = dict(
    train=dict(
        type="DOTADataset", dataset_dir="data/DOTA_mmrotate/train_1024_200_1.0", version="1", angle_version="oc",
        transforms=[
            dict(type="RotatedResize", min_size=1024, max_size=1024),
            dict(type="RotatedRandomFlip", prob=[0.25, 0.25, 0.25], direction=["horizontal", "vertical", "diagonal"]),
            _normalize,
            dict(type="Pad", size_divisor=32),
        ],
        batch_size=2, num_workers=2, shuffle=True,
    ),
    val=_val,
    test=_val,
)
