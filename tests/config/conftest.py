from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated, Literal

import pytest

from jld import registry as reg
from jld.errors import ConfigError


@pytest.fixture
def write(tmp_path):
    """write(name, text) -> path of a file in a fresh folder."""

    def write_file(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write_file


class ToyNet:
    def __init__(
        self, depth: int, frozen_stages: int = -1, norm_eval: bool = True, pretrained: str | None = None
    ):
        self.depth = depth


class ToyNeck:
    def __init__(self, in_channels: list[int], out_channels: int = 256, *, size: tuple[int, int] = (1, 1)):
        self.size = size


class ToyLoss:
    def __init__(self, loss_weight: float = 1.0):
        self.loss_weight = loss_weight


class ToyHead:
    # The last annotation cannot be evaluated, as with names imported for type checkers only.
    def __init__(
        self,
        num_classes: int,
        loss_cls: ToyLoss,
        test: dict | None = None,
        mode: Unknown = None,  # noqa: F821
    ):
        self.num_classes = num_classes


class ToyDetector:
    def __init__(self, backbone: ToyNet, bbox_head: ToyHead, neck: ToyNeck | None = None):
        self.backbone = backbone


class ToyDataset:
    def __init__(self, root: str, transforms: list[ToyResize] | None = None):
        self.root = root


class ToyResize:
    def __init__(self, min_size: int | list[int], max_size: int, keep_ratio: bool = True):
        self.min_size = min_size


class ToyEvaluator:
    def __init__(self, metric: str = "07"):
        self.metric = metric


class SGD:
    def __init__(self, params, lr: float, momentum: float = 0.0, grad_clip: dict | None = None):
        self.params = params


class StepLR:
    def __init__(
        self, milestones: list[int], gamma: float = 0.1, warmup: str | None = None, warmup_iters: int = 500
    ):
        self.milestones = milestones


class RunLogger:
    def __init__(self, loggers: list[str] = ()):
        self.loggers = loggers


class EMAHook:
    def __init__(self, decay: float = 0.999, warmup_iters: int = 2000):
        self.decay = decay


class FrozenTeacher:
    def __init__(self, config, checkpoint: str | None = None):
        self.config = config


class ToyTerm:
    def __init__(self, region: Annotated[str, reg.REGIONS] = "main", weight: float = 1.0):
        self.region = region


class TermSchedule:
    """When a toy term acts.

    Args:
        start: its first step.
        decay: its end.
    """

    def __init__(self, start: int = 0, decay: Literal["constant", "linear"] = "constant"):
        if start < 0:
            raise ConfigError(f"a toy cannot start in step {start}.")


class MainRegion:
    pass


@pytest.fixture
def toy_parts(monkeypatch):
    """Registries that hold the toy classes above and nothing else, for one test."""
    for registry in reg.Registry.instances:
        monkeypatch.setattr(registry, "_classes", {})
        monkeypatch.setattr(registry, "_primary", {})
    parts = {
        reg.BACKBONES: [ToyNet],
        reg.NECKS: [ToyNeck],
        reg.HEADS: [ToyHead],
        reg.LOSSES: [ToyLoss],
        reg.DETECTORS: [ToyDetector],
        reg.DATASETS: [ToyDataset],
        reg.TRANSFORMS: [ToyResize],
        reg.EVALUATORS: [ToyEvaluator],
        reg.OPTIMIZERS: [SGD],
        reg.SCHEDULERS: [StepLR],
        reg.HOOKS: [RunLogger, EMAHook],
        reg.TEACHERS: [FrozenTeacher],
        reg.TERMS: [ToyTerm],
        reg.TERM_SCHEDULES: [TermSchedule],
    }
    for registry, classes in parts.items():
        for cls in classes:
            registry.register(cls)
    reg.REGIONS.register(MainRegion, name="main")


VALID = """
    import math
    from pathlib import Path

    _sizes = [800]


    def ignored():
        return 1


    model = dict(
        type="ToyDetector",
        backbone=dict(type="ToyNet", depth=50, pretrained=None),
        neck=dict(type="ToyNeck", in_channels=[256, 512], size=[2, 3]),
        bbox_head=dict(
            type="ToyHead", num_classes=80, loss_cls=dict(type="ToyLoss", loss_weight=1), test=dict(nms=0.6),
        ),
    )
    dataset = dict(
        train=dict(
            type="ToyDataset", root="data/train", batch_size=2, num_workers=4, shuffle=True, drop_last=True,
            transforms=[dict(type="ToyResize", min_size=_sizes[0], max_size=1333, keep_ratio=True)],
        ),
        val=dict(
            type="ToyDataset", root="data", batch_size=1, evaluator=dict(type="ToyEvaluator", metric="12"),
        ),
        test=dict(type="ToyDataset", root="data/val", evaluator="ToyEvaluator"),
    )
    optimizer = dict(type="SGD", lr=0.01 / 8.0, momentum=0.9, grad_clip=dict(max_norm=35, norm_type=2))
    scheduler = dict(type="StepLR", warmup="linear", warmup_iters=500, milestones=[7, 10])
    logger = dict(type="RunLogger", loggers=["TextLogger"])
    max_epoch = 12
    eval_interval = 1
    checkpoint_interval = 1
    log_interval = 50
    ema = dict(decay=0.9998)
    auto_scale_lr = dict(base_batch_size=16)
    flip_test = ["H", "V", "HV"]
    merge_nms_threshold_type = 1
    pretrained_weights = None
    distill = dict(
        teacher=dict(config="configs/teacher.py", checkpoint="weights/teacher.pth"),
        terms=[dict(type="ToyTerm", region="main", weight=0.25), dict(type="ToyTerm", region="mine")],
        regions=dict(mine=dict(type="main")),
    )
"""


@pytest.fixture
def valid_file(write):
    """A complete config in the manner of JDet's files, valid for the toy parts."""
    return write("valid.py", VALID)
