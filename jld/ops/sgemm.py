"""Operators for the CPU that call oneDNN's matrix product."""

from __future__ import annotations

from collections.abc import Sequence

from jld.toolchain import jittor as jt

# As in oneDNN's dnnl.h; Jittor has loaded the library where `jittor.mkl_ops` is not None. Inside a parallel
# region it uses one thread, outside all of them.
_DECLARATION = """
#include <cstdint>
// C = alpha A B + beta C of row-major matrices, A [m, k] and B [k, n] or transposed ('T').
extern "C" int dnnl_sgemm(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                          const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
                          int64_t ldc);
"""


def product_operator(
    shape: Sequence[int], inputs: Sequence[jt.Var], source: str, header: str = "", **settings: float
) -> jt.Var:
    """One float32 array from C++ source that may call `dnnl_sgemm`.

    Args:
        shape: of the result, `out0` in the source.
        inputs: `in0`, `in1` ... in the source.
        source: body of the operator.
        header: what stands before it, after the declaration of `dnnl_sgemm`.
        settings: numbers, `data["name"]` in the source.
    """
    return jt.code(
        shape, "float32", list(inputs), data=settings, cpu_header=_DECLARATION + header, cpu_src=source
    )
