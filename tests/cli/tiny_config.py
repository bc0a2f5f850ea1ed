"""Writes the config of a detector that is small in everything but the number of its parts."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

TEXT = """
_base_ = [{base!r}]
_transforms = [
    dict(type="Resize", min_size=64, max_size=64),
    dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    dict(type="Pad", size_divisor=32),
]
model = dict(
    backbone=dict(depth=18, pretrained=None),
    neck=dict(in_channels=[64, 128, 256, 512], out_channels=32),
    bbox_head=dict(num_classes=5, in_channels=32, feat_channels=32, stacked_convs=1),
)
_data = dict(type="DrawnDataset", image_size=64, transforms=_transforms, batch_size=2)
dataset = dict(
    train=dict(_data, split="train", num_images=6, shuffle=True),
    val=dict(_data, split="val", num_images=3),
    test=dict(_data, split="test", num_images=3),
)
optimizer = dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001, grad_clip=dict(max_norm=35))
scheduler = dict(type="StepLR", milestones=[1], warmup="linear", warmup_iters=4, warmup_ratio=0.1)
logger = dict(type="RunLogger", loggers=["TextLogger"])
max_epoch = 2
log_interval = 2
checkpoint_iters = 2
"""
TWO_STAGE = """
_base_ = [{base!r}]
_transforms = [
    dict(type="Resize", min_size=64, max_size=64),
    dict(type="Normalize", mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], to_rgb=True),
    dict(type="Pad", size_divisor=32),
]
model = dict(
    type={kind!r},
    backbone=dict(depth=18, base_channels=8, pretrained=None),
    neck=dict(in_channels=[8, 16, 32, 64], out_channels=16),
    rpn_head=dict(
        in_channels=16, feat_channels=16, train_nms_pre=60, train_max_proposals=40, test_nms_pre=30,
        test_max_proposals=20, sampler=dict(num=32),
    ),
    roi_head=dict(
        sampler=dict(num=16), mask_head={mask_head},
        bbox_head=dict(num_classes=5, in_channels=16, fc_out_channels=16, score_threshold=0.0),
    ),
)
_data = dict(
    type="DrawnDataset", image_size=64, transforms=_transforms, batch_size=2, with_masks={with_masks}
)
dataset = dict(
    train=dict(_data, split="train", num_images=8, shuffle=True),
    val=dict(_data, split="val", num_images=3),
    test=dict(_data, split="test", num_images=3),
)
optimizer = dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=0.0001)
logger = dict(type="RunLogger", loggers=["TextLogger"])
max_iter = 4
log_interval = 4
"""
_BOXES = {"kind": "FasterRCNN", "mask_head": "None", "with_masks": False}
_MASKS = {
    "kind": "MaskRCNN",
    "mask_head": "dict(type='MaskHead', num_classes=5, in_channels=16, conv_out_channels=16, num_convs=1, "
    "loss_mask=dict(type='CrossEntropyLoss', use_sigmoid=True))",
    "with_masks": True,
}


def write_config(folder: Path, extra: str = "", name: str = "tiny.py") -> Path:
    """The config file in `folder`; `extra` lines follow it."""
    path = folder / name
    path.write_text(TEXT.format(base=str(ROOT / "configs/_base_/models/gfl_r50_fpn.py")) + extra)
    return path


def write_two_stage(folder: Path, *, masks: bool, extra: str = "", name: str = "two_stage.py") -> Path:
    """The same of a Faster R-CNN or Mask R-CNN, of four steps."""
    path, base = folder / name, str(ROOT / "configs/_base_/models/faster_rcnn_r50_fpn.py")
    path.write_text(TWO_STAGE.format(base=base, **(_MASKS if masks else _BOXES)) + extra)
    return path
