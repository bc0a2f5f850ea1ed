"""oneDNN's matrix product, for operators that call it."""

from __future__ import annotations

# As in oneDNN's dnnl.h; Jittor has loaded the library where `jittor.mkl_ops` is not None. Inside a parallel
# region it uses one thread, outside all of them.
DECLARATION = """
#include <cstdint>
// C = alpha A B + beta C of row-major matrices, A [m, k] and B [k, n] or transposed ('T').
extern "C" int dnnl_sgemm(char trans_a, char trans_b, int64_t m, int64_t n, int64_t k, float alpha,
                          const float* a, int64_t lda, const float* b, int64_t ldb, float beta, float* c,
                          int64_t ldc);
"""
