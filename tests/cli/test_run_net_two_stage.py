"""Two-stage detectors from the command line: steps on drawn images, the same graph in each, and scores."""

import json

import pytest

from jld.cli import main
from jld.runner.loop import TrainingLoop
from jld.toolchain import jittor as jt
from projects.benchmark.clock import counted_reads, loaded_kernels
from tests.cli.tiny_config import ROOT

TEXT = """
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
BOXES = {"kind": "FasterRCNN", "mask_head": "None", "with_masks": False}
MASKS = {
    "kind": "MaskRCNN",
    "mask_head": "dict(type='MaskHead', num_classes=5, in_channels=16, conv_out_channels=16, num_convs=1, "
    "loss_mask=dict(type='CrossEntropyLoss', use_sigmoid=True))",
    "with_masks": True,
}


@pytest.fixture
def steps(monkeypatch):
    """[(kernels loaded so far, Vars read by the host in the step)] of every step."""
    seen, step = [], TrainingLoop.losses_of

    def counted(self, batch):
        with counted_reads() as reads:
            losses = step(self, batch)
            jt.sync(list(losses.values()))
        seen.append((loaded_kernels(), dict(reads)))
        return losses

    monkeypatch.setattr(TrainingLoop, "losses_of", counted)
    return seen


@pytest.mark.parametrize("parts", [BOXES, MASKS], ids=["boxes", "masks"])
def test_training_and_scoring(tmp_path, steps, parts):
    config, work_dir = tmp_path / "two_stage.py", tmp_path / "work"
    base = str(ROOT / "configs/_base_/models/faster_rcnn_r50_fpn.py")
    config.write_text(TEXT.format(base=base, **parts))
    assert (
        main([f"--config-file={config}", f"--work_dir={work_dir}", "--cpu", "--task=train", "--dry-run"]) == 0
    )
    assert len(steps) > 2 and not any(sum(reads.values()) for _, reads in steps)
    assert steps[-1][0] == steps[1][0], "the graph is the same from step to step"
    dry = work_dir / "dry_run"
    assert main([f"--config-file={config}", f"--work_dir={dry}", "--cpu", "--task=val"]) == 0
    metrics = json.loads((dry / "results" / "metrics.json").read_text())
    assert 0 <= metrics["AP"] <= 1 and ("segm_AP" in metrics) == parts["with_masks"]
