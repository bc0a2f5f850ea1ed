"""Whether numbers are finite, told from their bits.

Jittor's `isfinite` asks Python for part of its source while it is compiled, in threads where Python must not
be called: processes that compile many kernels at once end with it. Comparisons with infinity mean nothing
under the flags that kernels are compiled with.
"""

from __future__ import annotations

from jld.toolchain import jittor as jt

# in0: any number of values; out0: [1], 1 where one of them is infinite or NaN, else 0.
_CPU = """
    const uint32_t* bits = (const uint32_t*)in0_p;
    long count = 0;
    #pragma omp parallel for simd reduction(+:count)
    for (long i = 0; i < in0->num; i++) count += (bits[i] & 0x7f800000) == 0x7f800000;
    out0_p[0] = count > 0;
"""
_CUDA_HEADER = """
#include <algorithm>
namespace jittor { namespace {
// Whoever finds one writes the same number.
__global__ void find_not_finite(long count, const unsigned* bits, float* found) {
    for (long i = blockIdx.x * (long)blockDim.x + threadIdx.x; i < count; i += (long)blockDim.x * gridDim.x)
        if ((bits[i] & 0x7f800000) == 0x7f800000) *found = 1;
}
}}
"""
_CUDA = """
    const long count = in0->num, blocks = std::max(1l, std::min((count + 255) / 256, 65535l));
    cudaMemsetAsync(out0_p, 0, out0->size, 0);
    find_not_finite<<<(int)blocks, 256>>>(count, (const unsigned*)in0_p, out0_p);
"""


def has_not_finite(x: jt.Var) -> jt.Var:
    """Whether any value is infinite or NaN.

    Args:
        x: float32 of any shape.
    Returns:
        [1] 1 or 0, without gradient.
    """
    # Flat: one kernel for all numbers of axes.
    inputs = [x.reshape([-1]).stop_grad()]
    found = jt.code(
        [1],
        "float32",
        inputs,
        cpu_header="#include <cstdint>",
        cpu_src=_CPU,
        cuda_header=_CUDA_HEADER,
        cuda_src=_CUDA,
    )
    return found.stop_grad()
