"""Two-stage files whose class 0 is the background: in ours it stands behind the others."""

from __future__ import annotations

import re

import numpy as np

_CLASSES = re.compile(r"\.(fc_cls|fc_reg|conv_logits)\.(weight|bias)$")


def is_class_row(name: str) -> bool:
    """Whether a parameter, by our name, has entries of every class."""
    return _CLASSES.search(name) is not None


def background_last(name: str, values: np.ndarray) -> np.ndarray:
    """A parameter, by our name, with its first class behind the others, whose box or mask is left out."""
    found = _CLASSES.search(name)
    if found is None:
        return values
    if found[1] == "fc_cls":
        return np.concatenate([values[1:], values[:1]])
    size = 4 if found[1] == "fc_reg" else 1
    return values if len(values) == size else values[size:]  # one for all classes
