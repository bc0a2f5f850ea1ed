"""Detectors and their parts. Importing the package registers every part a model config can name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jld.assign
import jld.losses
import jld.ops.nms
import jld.ops.rotated_nms
from jld.boxes.coders import DeltaBoxCoder
from jld.boxes.places import GridPlaces, Places
from jld.boxes.priors import AnchorGenerator
from jld.boxes.rotated.anchors import RotatedAnchorGenerator
from jld.boxes.rotated.coders import DeltaXYWHAHBBoxCoder, DeltaXYWHAOBBoxCoder
from jld.boxes.rotated.midpoint import MidpointOffsetCoder
from jld.errors import ConfigError
from jld.models.backbones import Res2Net, ResNet, SwinTransformer
from jld.models.detectors import Detector, SingleStageDetector, TwoStageDetector
from jld.models.heads import (
    ATSSHead,
    BoxHead,
    FCOSHead,
    GFLHead,
    GFLv2Head,
    MaskHead,
    RetinaHead,
    RoIHead,
    RotatedRetinaHead,
    RPNHead,
)
from jld.models.interface import Interface, StageInterface
from jld.models.necks import FPN
from jld.models.normalisation import InputStatistics
from jld.models.pretrained import assign_state, load_weights
from jld.models.targets import Targets
from jld.models.trace import Stage, Trace
from jld.registry import DETECTORS, build

__all__ = [
    "FPN",
    "ATSSHead",
    "AnchorGenerator",
    "BoxHead",
    "DeltaBoxCoder",
    "DeltaXYWHAHBBoxCoder",
    "DeltaXYWHAOBBoxCoder",
    "Detector",
    "FCOSHead",
    "GFLHead",
    "GFLv2Head",
    "GridPlaces",
    "InputStatistics",
    "Interface",
    "MaskHead",
    "MidpointOffsetCoder",
    "Places",
    "RPNHead",
    "Res2Net",
    "ResNet",
    "RetinaHead",
    "RoIHead",
    "RotatedAnchorGenerator",
    "RotatedRetinaHead",
    "SingleStageDetector",
    "Stage",
    "StageInterface",
    "SwinTransformer",
    "Targets",
    "Trace",
    "TwoStageDetector",
    "assign_state",
    "build_detector",
    "load_weights",
]


def build_detector(config: Mapping[str, Any], *, pretrained: bool = False) -> Detector:
    """The detector of a config's `model` section; the config's `dataset` tells how its input is normalised.

    Args:
        config: a whole config (with `model`) or the section itself.
        pretrained: also read the ImageNet weights the backbone names; not wanted where a checkpoint follows.
    Raises:
        ConfigError: no detector in the config, unknown parts or arguments.
        CheckpointError: pretrained weights are missing or do not fit.
    """
    section = config.get("model", config)
    name = section.get("type")
    if name is None:
        raise ConfigError(
            "the config has no model.type; name a detector: " + ", ".join(DETECTORS.names()) + "."
        )
    DETECTORS.get(name)
    detector = build(section, path="model")
    detector.normalisation = InputStatistics.from_config(config)
    if pretrained:
        detector.load_pretrained()
    return detector
