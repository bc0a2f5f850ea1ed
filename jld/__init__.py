"""jld: distillation of object detectors in Jittor."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "distill", "inference_detector", "init_detector", "predict"]


def __getattr__(name: str) -> Any:
    # On first use: `import jld` must work, quickly, where Jittor does not.
    if name in ("init_detector", "inference_detector"):
        return getattr(importlib.import_module("jld.apis"), name)
    if name == "distill":
        return importlib.import_module("jld.distill")
    if name == "predict":
        return importlib.import_module("jld.apis.predict").predict  # of the package, the module has this name
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class DistillPackage(ModuleType):
    """The package `jld.distill`, and a function: `jld.distill(student, teacher)` is `jld.apis.distill`."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        """See `jld.apis.distillation.distill`."""
        return importlib.import_module("jld.apis").distill(*args, **options)
