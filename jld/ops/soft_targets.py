"""Rows of logits against soft targets: value and gradient of each row in one pass.

The softmax losses of distillation and of box distributions are chains of small reductions along a short axis;
as one operator they cost one kernel and no intermediate arrays.
"""

from __future__ import annotations

from jld.toolchain import jittor as jt

# For each row, with p = softmax(z / T) and shares w: of KL w = softmax(t / T), else the target itself.
# value = sum w (log w - log p) or -sum w log p, gradient = (p sum w - w) / T. The difference of logarithms
# starts from that of the logits: each alone is large where both rows are nearly equal.
_CPU_SOURCE = """
    if (in0->num == 0) return;
    const int bins = in0_shape1, is_kl = data["is_kl"];
    const float inverse = 1.f / (float)data["temperature"];
    #pragma omp parallel for
    for (long row = 0; row < in0_shape0; row++) {
        const float *z = in0_p + row * bins, *t = in1_p + row * bins;
        float* gradient = out1_p + row * bins;
        float z_top = z[0], t_top = t[0], shares = 0;
        double z_total = 0, t_total = 0, value = 0;
        for (int b = 1; b < bins; b++) {
            z_top = z[b] > z_top ? z[b] : z_top;
            t_top = t[b] > t_top ? t[b] : t_top;
        }
        for (int b = 0; b < bins; b++) z_total += std::exp((z[b] - z_top) * inverse);
        const double z_log = std::log(z_total);
        double t_log = 0;
        if (is_kl) {
            for (int b = 0; b < bins; b++) t_total += std::exp((t[b] - t_top) * inverse);
            t_log = std::log(t_total);
        }
        for (int b = 0; b < bins; b++) {
            const float w = is_kl ? std::exp((t[b] - t_top) * inverse - (float)t_log) : t[b];
            const double ratio = is_kl ? ((t[b] - z[b]) - (t_top - z_top)) * inverse + (z_log - t_log)
                                      : z_log - (z[b] - z_top) * inverse;
            value += w * ratio;
            shares += w;
            gradient[b] = w;
        }
        out0_p[row] = value;
        for (int b = 0; b < bins; b++) {
            const float p = std::exp((z[b] - z_top) * inverse - (float)z_log);
            gradient[b] = (p * shares - gradient[b]) * inverse;
        }
    }
"""
_CUDA_HEADER = """
namespace jittor { namespace {
__device__ inline float warp_sum(float value) {
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}
__device__ inline float warp_max(float value) {
    for (int step = 16; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}
// One warp for each row.
__global__ void soft_targets_kernel(const float* all_z, const float* all_t, float* values, float* gradients,
                                    long rows, int bins, int is_kl, float inverse) {
    const long row = blockIdx.x * (long)(blockDim.x / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    const int lane = threadIdx.x % 32;
    const float *z = all_z + row * bins, *t = all_t + row * bins;
    float z_top = -3e38f, t_top = -3e38f, z_total = 0, t_total = 0, shares = 0, value = 0;
    for (int b = lane; b < bins; b += 32) z_top = fmaxf(z_top, z[b]), t_top = fmaxf(t_top, t[b]);
    z_top = warp_max(z_top), t_top = warp_max(t_top);
    for (int b = lane; b < bins; b += 32) {
        z_total += expf((z[b] - z_top) * inverse);
        if (is_kl) t_total += expf((t[b] - t_top) * inverse);
    }
    const float z_log = logf(warp_sum(z_total)), t_log = is_kl ? logf(warp_sum(t_total)) : 0;
    for (int b = lane; b < bins; b += 32) {
        const float w = is_kl ? expf((t[b] - t_top) * inverse - t_log) : t[b];
        const float ratio = is_kl ? ((t[b] - z[b]) - (t_top - z_top)) * inverse + (z_log - t_log)
                                  : z_log - (z[b] - z_top) * inverse;
        value += w * ratio;
        shares += w;
    }
    value = warp_sum(value), shares = warp_sum(shares);
    if (lane == 0) values[row] = value;
    for (int b = lane; b < bins; b += 32) {
        const float p = expf((z[b] - z_top) * inverse - z_log);
        const float w = is_kl ? expf((t[b] - t_top) * inverse - t_log) : t[b];
        gradients[row * bins + b] = (p * shares - w) * inverse;
    }
}
}}
"""
_CUDA_SOURCE = """
    if (in0->num == 0) return;
    soft_targets_kernel<<<(in0_shape0 + 7) / 8, 256>>>(
        in0_p, in1_p, out0_p, out1_p, (long)in0_shape0, (int)in0_shape1, (int)data["is_kl"],
        1.f / (float)data["temperature"]);
"""


class _SoftTargets(jt.Function):
    """The operator on [R, B] rows with the gradient to the first input."""

    def execute(self, logits: jt.Var, targets: jt.Var, settings: dict[str, float]) -> jt.Var:
        values, self.gradient = jt.code(
            (logits.shape[:1], logits.shape), ("float32", "float32"), [logits, targets], data=settings,
            cpu_header="#include <cmath>\n", cpu_src=_CPU_SOURCE,
            cuda_header=_CUDA_HEADER, cuda_src=_CUDA_SOURCE,
        )  # fmt: skip
        return values

    def grad(self, values_grad: jt.Var) -> tuple[jt.Var | None, ...]:
        return values_grad.unsqueeze(1) * self.gradient, None, None


def soft_cross_entropy(logits: jt.Var, shares: jt.Var) -> jt.Var:
    """Cross entropy of a softmax against shares of each entry.

    Args:
        logits: [..., B] before the softmax.
        shares: [..., B], need not add up to 1; no gradient flows into them.
    Returns:
        [...] -sum of shares log softmax(logits), in nats; [1] for a single row.
    Raises:
        ValueError: the shapes differ.
    """
    return _rows(logits, shares, temperature=1.0, is_kl=0)


def soft_kl_divergence(logits: jt.Var, target_logits: jt.Var, temperature: float) -> jt.Var:
    """KL divergence from softmax(target_logits / T) to softmax(logits / T).

    Args:
        logits, target_logits: [..., B]; no gradient flows into the second.
        temperature: T, above 0.
    Returns:
        [...] in nats, [1] for a single row; 0 up to rounding where both rows are equal.
    Raises:
        ValueError: the shapes differ.
    Source: arXiv:1503.02531, section 2.
    """
    return _rows(logits, target_logits, temperature=float(temperature), is_kl=1)


def _rows(logits: jt.Var, targets: jt.Var, **settings: float) -> jt.Var:
    shape = logits.shape
    if tuple(targets.shape) != tuple(shape):
        raise ValueError(f"logits have shape {tuple(shape)} and their targets {tuple(targets.shape)}.")
    rows = [x.float32().reshape((-1, shape[-1])) for x in (logits, targets.detach())]
    return _SoftTargets.apply(*rows, settings).reshape(shape[:-1] or (1,))
