"""Headers of operators whose C functions serve both devices."""

from __future__ import annotations

_INCLUDES = "#include <algorithm>\n#include <cmath>\n#include <cstring>\n#include <vector>\n"
_QUALIFIERS = {"cpu": "static inline", "cuda": "static __device__ inline"}


def shared_headers(functions: str, cuda_kernels: str) -> dict[str, str]:
    """`cpu_header` and `cuda_header` of a `jt.code` operator.

    Args:
        functions: C functions marked with JLD_FUNCTION, for both.
        cuda_kernels: what only the CUDA half has.
    """
    return {
        f"{device}_header": f"{_INCLUDES}#undef JLD_FUNCTION\n#define JLD_FUNCTION {qualifiers}\n"
        f"namespace jittor {{ namespace {{\n{functions}{cuda_kernels if device == 'cuda' else ''}\n}}}}\n"
        for device, qualifiers in _QUALIFIERS.items()
    }
