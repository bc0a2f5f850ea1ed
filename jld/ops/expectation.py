"""Expectations of predicted distributions, what a box is decoded from."""

from __future__ import annotations

import numpy as np

from jld.toolchain import jittor as jt

# For each row, with p = softmax(z) and v the values of its bins: mean = sum p v, slope = p (v - mean).
_CPU_SOURCE = """
    const int kinds = in1_shape0, bins = in1_shape1;
    #pragma omp parallel for
    for (long row = 0; row < in0_shape0; row++) {
        const float *z = in0_p + row * bins, *values = in1_p + row % kinds * bins;
        float* slope = out1_p + row * bins;
        float top = z[0], total = 0, sum = 0;
        for (int b = 1; b < bins; b++) top = z[b] > top ? z[b] : top;
        for (int b = 0; b < bins; b++) slope[b] = std::exp(z[b] - top);
        for (int b = 0; b < bins; b++) total += slope[b], sum += slope[b] * values[b];
        const float mean = sum / total;
        for (int b = 0; b < bins; b++) slope[b] *= (values[b] - mean) / total;
        out0_p[row] = mean;
    }
"""
_CUDA_HEADER = """
namespace jittor { namespace {
__global__ void expectation_kernel(const float* logits, const float* all_values, float* means, float* slopes,
                                   long rows, int kinds, int bins) {
    const long row = blockIdx.x * (long)blockDim.x + threadIdx.x;
    if (row >= rows) return;
    const float *z = logits + row * bins, *values = all_values + row % kinds * bins;
    float top = z[0], total = 0, sum = 0;
    for (int b = 1; b < bins; b++) top = fmaxf(top, z[b]);
    for (int b = 0; b < bins; b++) {
        const float share = expf(z[b] - top);
        total += share, sum += share * values[b];
    }
    const float mean = sum / total;
    for (int b = 0; b < bins; b++) slopes[row * bins + b] = expf(z[b] - top) * (values[b] - mean) / total;
    means[row] = mean;
}
}}
"""
_CUDA_SOURCE = """
    if (in0->num == 0) return;
    expectation_kernel<<<(in0_shape0 + 127) / 128, 128>>>(
        in0_p, in1_p, out0_p, out1_p, (long)in0_shape0, (int)in1_shape0, (int)in1_shape1);
"""
_KERNEL = {
    "cpu_header": "#include <cmath>\n",
    "cpu_src": _CPU_SOURCE,
    "cuda_header": _CUDA_HEADER,
    "cuda_src": _CUDA_SOURCE,
}


class _Expectation(jt.Function):
    """Rows [Q, B] of logits and values [R, B] of their bins, used in turn, to [Q]."""

    def execute(self, logits: jt.Var, values: jt.Var) -> jt.Var:
        means, self.slope = jt.code(
            (logits.shape[:1], logits.shape), ("float32", "float32"), [logits, values], **_KERNEL
        )
        return means

    def grad(self, means_grad: jt.Var) -> tuple[jt.Var | None, ...]:
        return means_grad.unsqueeze(1) * self.slope, None


def expected_bins(box_logits: jt.Var) -> jt.Var:
    """Expectation of the bin value 0 ... B - 1 under the softmax: [..., B] to [...].

    Source: arXiv:2006.04388, equation 5 of section 3.2 (the integral of the general distribution).
    """
    return expected_values(box_logits, np.arange(box_logits.shape[-1], dtype=np.float32)[None])


def expected_values(box_logits: jt.Var, supports: np.ndarray) -> jt.Var:
    """`expected_bins` where every row of bins has values of its own.

    Args:
        box_logits: [..., R, B] before the softmax.
        supports: [R, B] values of the bins.
    Returns:
        [..., R] in the unit of the supports.
    Source: arXiv:2204.05957, the rotated heads.
    """
    shape = box_logits.shape
    values = jt.array(np.asarray(supports, np.float32))
    return _Expectation.apply(box_logits.float32().reshape((-1, shape[-1])), values).reshape(shape[:-1])
