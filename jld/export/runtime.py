"""ONNX Runtime on exported files."""

from __future__ import annotations

from typing import Any

from jld.utils.extras import require


def session_of(model: bytes | str, *, threads: int = 0) -> Any:
    """An ONNX Runtime session on the CPU.

    Args:
        model: the bytes of a file, or its path.
        threads: 0: as many as the runtime wants.
    """
    runtime = require("onnxruntime", "export")
    options = runtime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = threads, 3
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
