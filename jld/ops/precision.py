"""In which precision convolutions are computed: a setting for a `with` block, and the rounding that it means.

Everything between convolutions stays float32, parameters and their gradients too. A convolution in half
precision takes its map and its weights rounded to sixteen bits and gives a result that is rounded as well;
in the backward pass the same holds for gradients.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from jld.errors import one_of
from jld.toolchain import jittor as jt

FLOAT32, BFLOAT16, FLOAT16 = PRECISIONS = ("float32", "bfloat16", "float16")

_CURRENT: ContextVar[str] = ContextVar("precision of convolutions", default=FLOAT32)


def convolution_precision() -> str:
    """The precision of convolutions that are called now, one of `PRECISIONS`."""
    return _CURRENT.get()


@contextmanager
def convolutions_in(precision: str) -> Iterator[None]:
    """Computes the convolutions that are called inside a `with` block in this precision.

    The backward pass of such a convolution has the same precision, wherever it runs.

    Args:
        precision: "float32", "bfloat16" (8 significant bits, the range of float32) or "float16" (11 bits,
            from 6e-8 to 65504: gradients need a `jld.optim.LossScale`).
    Raises:
        ConfigError: unknown precision.
    """
    one_of(precision, PRECISIONS, f"unknown precision {precision!r}")
    token = _CURRENT.set(precision)
    try:
        yield
    finally:
        _CURRENT.reset(token)


# On bits: kernels are compiled with flags under which comparisons with infinity and NaN mean nothing.
_HEADER = """
#include <cmath>
#include <cstdint>
#include <cstring>
namespace jittor { namespace {
inline uint32_t to_bfloat16(uint32_t u) {
    const bool is_nan = (u & 0x7fffffff) > 0x7f800000;
    return is_nan ? u : (u + 0x7fff + (u >> 16 & 1)) & 0xffff0000;
}
inline uint32_t to_float16(uint32_t u) {
    const uint32_t sign = u & 0x80000000, size = u ^ sign;
    uint32_t normal = (size + 0xfff + (size >> 13 & 1)) & 0xffffe000;
    normal = normal >= 0x47800000 ? 0x7f800000 : normal;  // from 65520 on infinity
    float value;
    std::memcpy(&value, &size, 4);
    value = std::rint(value * 16777216) / 16777216;  // below 2^-14: multiples of 2^-24
    uint32_t small;
    std::memcpy(&small, &value, 4);
    const uint32_t rounded = size < 0x38800000 ? small : normal;
    return size > 0x7f800000 ? u : sign | rounded;
}
}}
"""
_ROUND = """
    const uint32_t* from = (const uint32_t*)in0_p;
    uint32_t* to = (uint32_t*)out0_p;
    if (data["is_bfloat16"]) {
        #pragma omp parallel for simd
        for (long i = 0; i < in0->num; i++) to[i] = to_bfloat16(from[i]);
    } else {
        #pragma omp parallel for simd
        for (long i = 0; i < in0->num; i++) to[i] = to_float16(from[i]);
    }
"""


def _round(x: jt.Var, precision: str) -> jt.Var:
    data = {"is_bfloat16": int(precision == BFLOAT16)}
    return jt.code(x.shape, "float32", [x], data=data, cpu_header=_HEADER, cpu_src=_ROUND)


class _Rounded(jt.Function):
    """The operator; its gradient is rounded too, as a cast's is."""

    def execute(self, x: jt.Var, precision: str) -> jt.Var:
        self.precision = precision
        return _round(x, precision)

    def grad(self, dy: jt.Var) -> tuple[jt.Var | None, ...]:
        return _round(dy, self.precision), None


def rounded(x: jt.Var, precision: str) -> jt.Var:
    """Values and their gradients rounded to half precision and kept as float32, on the CPU.

    To the nearest, ties to even, subnormals included; what is too large becomes infinite. Jittor's own casts
    are no substitute on the CPU: that to bfloat16 cuts digits off.

    Args:
        x: float32 of any shape.
        precision: "bfloat16" or "float16".
    Returns:
        Shaped like x.
    """
    return _Rounded.apply(x, precision)
