"""The two packages of ONNX, which are not needed until something is exported."""

from __future__ import annotations

import importlib
from typing import Any

from jld.errors import ConfigError


def require(package: str) -> Any:
    """The module `onnx` or `onnxruntime`.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise ConfigError(f"{package} is missing ({error}): pip install 'jld[export]'.") from error


def session_of(model: bytes | str, *, threads: int = 0) -> Any:
    """An ONNX Runtime session on the CPU.

    Args:
        model: the bytes of a file, or its path.
        threads: 0: as many as the runtime wants.
    """
    runtime = require("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
