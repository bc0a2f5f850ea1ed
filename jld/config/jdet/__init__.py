"""JDet's own config files of rotated RetinaNet and its distillation, in jld's words.

One function per section. A key or value that jld has no counterpart for is an error that names it; nothing is
passed over in silence but what JDet itself never reads. Conventions differ in more than names: JDet counts
the background among the classes and labels from 1, has 1x1 prediction layers, measures angles in units of pi
and anchors from the middle of their cell, and enlarges patches by 1.5 at most.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from jld.config.foreign import Section
from jld.config.jdet.data import translate_dataset
from jld.config.jdet.keys import UNSERVED, translate_keys
from jld.config.jdet.model import DETECTORS, DISTILLED, translate_distill, translate_model
from jld.config.schema import TOP_LEVEL
from jld.errors import ConfigError

# Detectors and backbones that JDet's configs alone speak of; detectors that share a name with jld's are told
# apart by their backbones.
_DETECTORS = re.compile(
    "FasterRCNNOBB|GlidingVertex|H2RBox|OrientedRCNN|RCNN|ReDet|RoITransformer|R3Det|RSDet|S2ANet|"
    f"SingleStageDetector|StripRCNN|YOLO(v5[SMLX])?|{DISTILLED}"
)
_BACKBONES = re.compile(
    r"Resnet\d+(_v1d)?|(Resnext|Wide_resnet|res2net)\d\w*|ReResNet|(LSKNet|StripNet)_\w|SSD_VGG\d+"
)
# Likeness above which an unknown key is taken for a misspelt one (0..1, of difflib).
MISSPELT_FROM = 0.85


def is_jdet(config: Mapping[str, Any]) -> bool:
    """Whether a config speaks JDet's language: names of detectors and backbones that jld does not have."""
    model = config.get("model")
    if not isinstance(model, Mapping):
        return False
    backbone = model.get("backbone")
    name = backbone.get("type") if isinstance(backbone, Mapping) else backbone
    return bool(_DETECTORS.fullmatch(str(model.get("type"))) or _BACKBONES.fullmatch(str(name)))


def translate_jdet(config: Mapping[str, Any], file: str | Path | None = None) -> dict[str, Any]:
    """The same experiment in jld's words.

    Args:
        config: a merged config for which `is_jdet` holds.
        file: where it was read; a relative `teacher_config` is looked for from here upwards, too.
    Returns:
        a config that `jld.config.check_config` accepts, with `distill` where JDet's detector holds a teacher.
    Raises:
        ConfigError: a model, part, key or value that jld does not have; says which.
    """
    try:
        return _translate(config, Section(config["model"], "model"), file)
    except ConfigError as error:
        where = f"{file}: " if file else ""
        raise ConfigError(f"{where}this is a config of JDet; {error}") from None


def _translate(config: Mapping[str, Any], model: Section, file: Any) -> dict[str, Any]:
    if model.type not in DETECTORS:
        raise ConfigError(
            f"jld does not cover its {model.type!r}, only {DETECTORS[0]} (plain, with distributions, GWD, "
            f"KLD, KFIoU) and {DETECTORS[1]} on ResNets."
        )
    known = [*(key.name for key in TOP_LEVEL), *UNSERVED]
    # JDet passes over every key that it does not know: helpers such as teacher_ckpt. Misspelt ones stay in.
    kept = {
        key: value for key, value in config.items() if get_close_matches(key, known, cutoff=MISSPELT_FROM)
    }
    distill = {"distill": translate_distill(model, file)} if model.type == DISTILLED else {}
    translated = {**kept, **distill, "model": translate_model(model)}
    model.finish()
    return {**translated, "dataset": translate_dataset(config.get("dataset") or {})}
