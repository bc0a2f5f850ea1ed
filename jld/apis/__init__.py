"""The library from Python: a detector from files, detections from images, runs beside each other.

What is named here is imported on first use: most of it needs Jittor, and the commands in this package start
without it.
"""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "Entry": "comparison",
    "compare": "comparison",
    "distill": "distillation",
    "inference_detector": "inference",
    "init_detector": "inference",
    "list_parts": "registration",
    "mean_metrics": "comparison",
    "register_parts": "registration",
    "use_device": "inference",
}
__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
