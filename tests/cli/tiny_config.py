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


def write_config(folder: Path, extra: str = "", name: str = "tiny.py") -> Path:
    """The config file in `folder`; `extra` lines follow it."""
    path = folder / name
    path.write_text(TEXT.format(base=str(ROOT / "configs/_base_/models/gfl_r50_fpn.py")) + extra)
    return path
