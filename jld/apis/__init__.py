"""The library from Python: a detector from files, detections from images, runs beside each other."""

from __future__ import annotations

import importlib
from typing import Any

# {name: the module it stands in}; imported on first use, as most of them need Jittor and some do without.
_MODULES = {
    "Entry": "comparison",
    "compare": "comparison",
    "distill": "distillation",
    "inference_detector": "inference",
    "init_detector": "inference",
    "register_parts": "registration",
    "use_device": "inference",
}
__all__ = list(_MODULES)


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"jld.apis.{_MODULES[name]}"), name)
