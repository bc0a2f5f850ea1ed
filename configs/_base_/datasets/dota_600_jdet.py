"""DOTA-1.0 patches of 600 px, overlap 150, cut, enlarged to 900 px and flipped as JDet does.

Expects data/DOTA_jdet/{train,val}_600_150_1.0, made by tools/preprocess.py.
"""

_normalize = dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
_resize = dict(type="RotatedResize", min_size=1024, max_size=1024, max_zoom=1.5, clip_boxes=True)
_val = dict(
    type="DOTADataset", dataset_dir="data/DOTA_jdet/val_600_150_1.0", version="1", angle_version="le135",
    filter_empty_gt=False, batch_size=1, num_workers=2,
    transforms=[dict(_resize, clip_boxes=False), dict(type="Pad", size_divisor=32), _normalize],
)

dataset = dict(
    train=dict(
        type="DOTADataset", dataset_dir="data/DOTA_jdet/train_600_150_1.0", version="1", angle_version="le135",
        transforms=[
            _resize,
            dict(type="RotatedRandomFlip", prob=0.5, direction="horizontal"),
            dict(type="RotatedRandomFlip", prob=0.5, direction="vertical"),
            dict(type="Pad", size_divisor=32),
            _normalize,
        ],
        batch_size=2, num_workers=4, shuffle=True,
    ),
    val=_val,
    test=_val,
)
