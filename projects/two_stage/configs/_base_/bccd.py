"""The BCCD folder (VOC layout) at data/bccd, at 240x180: red cells are 25 px and more, platelets 10."""

_normalize = dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True)
_resize, _pad = dict(type="Resize", min_size=180, max_size=240), dict(type="Pad", size_divisor=32)
_voc = dict(type="VOCDataset", root="data/bccd", classes=["RBC", "WBC", "Platelets"], batch_size=4, num_workers=1)
_test = dict(_voc, image_set="test", filter_empty_gt=False, transforms=[_resize, _normalize, _pad])

dataset = dict(
    train=dict(
        _voc, image_set="train", shuffle=True,
        transforms=[_resize, dict(type="RandomFlip", prob=0.5, direction="horizontal"), _normalize, _pad],
    ),
    val=dict(_test, evaluator="CocoEvaluator"),
    test=_test,
)
