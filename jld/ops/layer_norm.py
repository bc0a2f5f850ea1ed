"""Layer normalisation of rows, one operator each way.

A row fits the first cache, so it is read from memory once, where separate reductions and products read it
several times. Source: arXiv:1607.06450.
"""

from __future__ import annotations

from jld.toolchain import jittor as jt

# Rows whose gradients of weight and bias are added up by one thread (CPU) or block (CUDA).
_CHUNK = 64

_CPU_HEADER = "#include <algorithm>\n#include <cmath>\n#include <cstring>\n"
# The mean is taken off first: differences of large squares would cancel.
_CPU_FORWARD = """
    const long rows = in0_shape0;
    const int width = in0_shape1;
    const float eps = data["eps"];
    #pragma omp parallel for
    for (long row = 0; row < rows; row++) {
        const float* x = in0_p + row * width;
        float* y = out0_p + row * width;
        float total = 0, squares = 0;
        for (int c = 0; c < width; c++) total += x[c];
        const float mean = total / width;
        for (int c = 0; c < width; c++) squares += (x[c] - mean) * (x[c] - mean);
        const float inverse = 1.f / std::sqrt(squares / width + eps);
        out1_p[2 * row] = mean;
        out1_p[2 * row + 1] = inverse;
        for (int c = 0; c < width; c++) y[c] = (x[c] - mean) * inverse * in1_p[c] + in2_p[c];
    }
"""
# With h the normalised row and g = dy weight: dx = (g - mean(g) - h mean(g h)) / std.
_CPU_BACKWARD = """
    const long rows = in0_shape0;
    const int width = in0_shape1, chunk = data["chunk"], chunks = out1_shape0;
    #pragma omp parallel for
    for (int part = 0; part < chunks; part++) {
        float *dweight = out1_p + 2L * part * width, *dbias = dweight + width;
        std::memset(dweight, 0, 2 * width * sizeof(float));
        for (long row = (long)part * chunk; row < std::min(rows, (part + 1L) * chunk); row++) {
            const float *x = in0_p + row * width, *dy = in1_p + row * width;
            float* dx = out0_p + row * width;
            const float mean = in3_p[2 * row], inverse = in3_p[2 * row + 1];
            float all = 0, along = 0;
            for (int c = 0; c < width; c++) {
                const float h = (x[c] - mean) * inverse, g = dy[c] * in2_p[c];
                all += g;
                along += g * h;
                dweight[c] += dy[c] * h;
                dbias[c] += dy[c];
            }
            all /= width;
            along /= width;
            for (int c = 0; c < width; c++)
                dx[c] = inverse * (dy[c] * in2_p[c] - all - (x[c] - mean) * inverse * along);
        }
    }
"""
# One warp per row.
_CUDA_FORWARD_HEADER = """
namespace jittor { namespace {
__device__ inline float warp_sum(float value) {
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}
__global__ void layer_norm_kernel(const float* all_x, const float* weight, const float* bias, float* all_y,
                                  float* statistics, long rows, int width, float eps) {
    const long row = blockIdx.x * (long)(blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    const int lane = threadIdx.x % 32;
    const float* x = all_x + row * width;
    float part = 0;
    for (int c = lane; c < width; c += 32) part += x[c];
    const float mean = warp_sum(part) / width;
    part = 0;
    for (int c = lane; c < width; c += 32) part += (x[c] - mean) * (x[c] - mean);
    const float inverse = 1.f / sqrtf(warp_sum(part) / width + eps);
    if (lane == 0) statistics[2 * row] = mean, statistics[2 * row + 1] = inverse;
    for (int c = lane; c < width; c += 32)
        all_y[row * width + c] = (x[c] - mean) * inverse * weight[c] + bias[c];
}
}}
"""
_CUDA_FORWARD = """
    if (in0->num == 0) return;
    layer_norm_kernel<<<(in0_shape0 + 7) / 8, 256>>>(
        in0_p, in1_p, in2_p, out0_p, out1_p, in0_shape0, in0_shape1, (float)data["eps"]);
"""
_CUDA_BACKWARD_HEADER = """
#include <algorithm>
namespace jittor { namespace {
__device__ inline float warp_sum(float value) {
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}
__global__ void layer_norm_grad_kernel(const float* all_x, const float* all_dy, const float* weight,
                                       const float* statistics, float* all_dx, long rows, int width) {
    const long row = blockIdx.x * (long)(blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    const int lane = threadIdx.x % 32;
    const float *x = all_x + row * width, *dy = all_dy + row * width;
    const float mean = statistics[2 * row], inverse = statistics[2 * row + 1];
    float all = 0, along = 0;
    for (int c = lane; c < width; c += 32) {
        const float g = dy[c] * weight[c];
        all += g;
        along += g * (x[c] - mean) * inverse;
    }
    all = warp_sum(all) / width;
    along = warp_sum(along) / width;
    for (int c = lane; c < width; c += 32)
        all_dx[row * width + c] = inverse * (dy[c] * weight[c] - all - (x[c] - mean) * inverse * along);
}
__global__ void layer_norm_sums_kernel(const float* x, const float* dy, const float* statistics, float* sums,
                                       long rows, int width, int chunk) {
    const long first = blockIdx.x * (long)chunk, last = min(rows, first + chunk);
    for (int c = threadIdx.x; c < width; c += blockDim.x) {
        float dweight = 0, dbias = 0;
        for (long row = first; row < last; row++) {
            const float g = dy[row * width + c];
            dweight += g * (x[row * width + c] - statistics[2 * row]) * statistics[2 * row + 1];
            dbias += g;
        }
        sums[2L * blockIdx.x * width + c] = dweight;
        sums[(2L * blockIdx.x + 1) * width + c] = dbias;
    }
}
}}
"""
_CUDA_BACKWARD = """
    if (in0->num == 0) return;
    layer_norm_grad_kernel<<<(in0_shape0 + 7) / 8, 256>>>(
        in0_p, in1_p, in2_p, in3_p, out0_p, in0_shape0, in0_shape1);
    layer_norm_sums_kernel<<<out1_shape0, 256>>>(
        in0_p, in1_p, in3_p, out1_p, in0_shape0, in0_shape1, (int)data["chunk"]);
"""


class _LayerNorm(jt.Function):
    """The operator with gradients to all three inputs."""

    def execute(self, x: jt.Var, weight: jt.Var, bias: jt.Var, eps: float) -> jt.Var:
        y, statistics = jt.code(
            [x.shape, [x.shape[0], 2]], ["float32", "float32"], [x, weight, bias], data={"eps": eps},
            cpu_header=_CPU_HEADER, cpu_src=_CPU_FORWARD,
            cuda_header=_CUDA_FORWARD_HEADER, cuda_src=_CUDA_FORWARD,
        )  # fmt: skip
        self.saved = x, weight, statistics
        return y

    def grad(self, dy: jt.Var) -> tuple[jt.Var | None, ...]:
        x, weight, statistics = self.saved
        chunks = max(1, -(-x.shape[0] // _CHUNK))
        dx, sums = jt.code(
            [x.shape, [chunks, 2, x.shape[1]]], ["float32", "float32"], [x, dy, weight, statistics],
            data={"chunk": float(_CHUNK)}, cpu_header=_CPU_HEADER, cpu_src=_CPU_BACKWARD,
            cuda_header=_CUDA_BACKWARD_HEADER, cuda_src=_CUDA_BACKWARD,
        )  # fmt: skip
        sums = sums.sum(0)  # [2, C]
        return dx, sums[0], sums[1], None


def layer_norm(x: jt.Var, weight: jt.Var, bias: jt.Var, *, eps: float = 1e-5) -> jt.Var:
    """Normalises every row by its own mean and variance, then scales and shifts each column.

    Args:
        x: [..., C].
        weight, bias: [C].
        eps: added to the variance.
    Returns:
        [..., C] float32.
    Raises:
        ValueError: the shapes do not fit.
    Source: arXiv:1607.06450, equation 4.
    """
    shapes = [tuple(v.shape) for v in (x, weight, bias)]
    if shapes[1:] != [shapes[0][-1:]] * 2:
        raise ValueError(f"layer_norm: rows, weight and bias of shapes {shapes} do not fit.")
    rows = x.float32().reshape((-1, shapes[0][-1]))
    return _LayerNorm.apply(rows, weight.float32(), bias.float32(), float(eps)).reshape(x.shape)
