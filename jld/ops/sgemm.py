"""Operators for the CPU that call oneDNN's matrix product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jld.toolchain import jittor as jt

# As in oneDNN's dnnl.h; Jittor has loaded the library where `jittor.mkl_ops` is not None. Inside a parallel
# region it uses one thread, outside all of them.
_DECLARATION = """
#include <algorithm>
#include <cstdint>
#include <vector>
// C = alpha A B + beta C of row-major matrices, A [m, k] and B [k, n] or transposed ('T').
extern "C" int dnnl_sgemm(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                          const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
                          int64_t ldc);
namespace jittor { namespace {
// The images that are computed: all, or those where a mask is above 0.
struct Images {
    const long all;
    std::vector<long> numbers;
    explicit Images(long all, const float* live = nullptr) : all(all) {
        for (long n = 0; n < all; n++)
            if (!live || live[n] > 0) numbers.push_back(n);
    }
    long count() const { return numbers.size(); }
    long operator[](long i) const { return numbers[i]; }
    // Zeros in the results, `size` floats each, of the other images.
    void clear_others(float* results, long size) const {
        for (long n = 0, i = 0; n < all; n++) {
            if (i < count() && numbers[i] == n) i++;
            else std::fill(results + n * size, results + (n + 1) * size, 0.f);
        }
    }
};
}}
"""


def product_operator(
    shape: Sequence[int], inputs: Sequence[jt.Var], source: str, header: str = "", **options: Any
) -> jt.Var:
    """The one result of `product_operators`, `out0`."""
    return product_operators([shape], inputs, source, header, **options)[0]


def product_operators(
    shapes: Sequence[Sequence[int]],
    inputs: Sequence[jt.Var],
    source: str,
    header: str = "",
    *,
    live: jt.Var | None = None,
    **settings: float,
) -> list[jt.Var]:
    """Float32 arrays from C++ source that may call `dnnl_sgemm`, and knows of `images` what to compute.

    Args:
        shapes: of the results, `out0`, `out1` ... in the source.
        inputs: `in0`, `in1` ... in the source.
        source: body of the operator.
        header: what stands before it, after the declarations of `dnnl_sgemm` and `Images`.
        live: [N] above 0 for the images of `in0` that are to be computed; None: all.
        settings: numbers, `data["name"]` in the source.
    """
    mask = "" if live is None else f", in{len(inputs)}_p"
    made = jt.code(
        [tuple(shape) for shape in shapes], ["float32"] * len(shapes),
        [*inputs, *([] if live is None else [live])], data=settings,
        cpu_header=_DECLARATION + header, cpu_src=f"const Images images(in0_shape0{mask});\n{source}",
    )  # fmt: skip
    return list(made)
