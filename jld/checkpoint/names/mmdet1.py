"""Two-stage files of mmDetection 1.x: its heads lie beside each other, and the background is class 0.

RetinaNet and the other detectors with sigmoids have no row for the background in either version: their files
are those of mmDetection 2.
Source: mmDetection 2, tools/model_converters/upgrade_model_version.py.
"""

from __future__ import annotations

import re

import numpy as np

from jld.checkpoint.names import mmdet
from jld.checkpoint.names.background import background_last, is_class_row
from jld.checkpoint.names.rules import State, has_prefix

_HEADS = re.compile(r"^(bbox_head|mask_head)\.")
_FIRST = "bbox_head.fc_cls.weight"


def detect(state: State) -> float:
    """How surely a file is of this kind, 0 to 1.

    A box for the background tells files whose heads have been renamed: mmDetection 2 has none.
    """
    if not has_prefix(state, "rpn_head."):
        return 0.0
    cls, reg = (state.get(f"roi_head.bbox_head.{layer}.bias") for layer in ("fc_cls", "fc_reg"))
    is_renamed = cls is not None and reg is not None and len(reg) == 4 * len(cls)
    return 0.9 if _FIRST in state or is_renamed else 0.0


def prepared(state: State) -> dict[str, np.ndarray]:
    """The state in mmDetection 2's names and order of classes: the background behind the others.

    Neither a box nor a mask is predicted of it any more.
    """
    return {
        _HEADS.sub(r"roi_head.\1.", name): background_last(name, values) for name, values in state.items()
    }


def note_of(name: str) -> str:
    """What was done to a parameter, by our name; empty for nothing."""
    return "background, the first class in mmDetection 1.x, is the last" if is_class_row(name) else ""


map_name = mmdet.map_name
