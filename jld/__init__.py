"""jld: distillation of object detectors in Jittor."""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["__version__", "inference_detector", "init_detector", "predict"]


def __getattr__(name: str) -> Any:
    # On first use: `import jld` must work, quickly, where Jittor does not.
    if name in ("init_detector", "inference_detector"):
        from jld import apis

        return getattr(apis, name)
    if name == "predict":
        from jld.apis.predict import predict  # of the package, the module has this name

        return predict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
