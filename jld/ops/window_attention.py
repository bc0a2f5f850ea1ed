"""Multi-head attention inside windows with a bias per pair of places, one operator each way.

Windows are small (49 tokens of 32 numbers a head in Swin): one thread (CPU) or block (CUDA) keeps a head of a
window in its caches, where separate products, additions and a softmax would write the scores several times.
Source: arXiv:2103.14030, equation 4.
"""

from __future__ import annotations

from jld.toolchain import jittor as jt

# What is added to the score of two tokens that were no neighbours before a shift joined them in one window.
APART = -100.0

_CPU_HEADER = """
#include <algorithm>
#include <cmath>
#include <vector>
namespace jittor { namespace {
// columns[c * tokens + t] = factor * rows[t * pitch + c]
inline void transposed(float* columns, const float* rows, int tokens, int size, long pitch, float factor) {
    for (int t = 0; t < tokens; t++)
        for (int c = 0; c < size; c++) columns[c * tokens + t] = factor * rows[t * pitch + c];
}
}}
"""
_SIZES = """
    const int tokens = in0_shape1, heads = data["heads"], width = in0_shape2 / 3, size = width / heads;
    const long windows = in0_shape0, pitch = in0_shape2, square = (long)tokens * tokens;
    const float scale = 1.f / std::sqrt((float)size);
"""
_CPU_FORWARD = (
    _SIZES
    + """
    const int sets = in2_shape0;
    const float apart = data["apart"];
    #pragma omp parallel for
    for (long item = 0; item < windows * heads; item++) {
        const long window = item / heads;
        const int head = item % heads, *region = in2_p + window % sets * tokens;
        const float *q = in0_p + window * tokens * pitch + head * size, *v = q + 2 * width;
        const float* bias = in1_p + head * square;
        std::vector<float> keys(size * tokens);
        transposed(keys.data(), q + width, tokens, size, pitch, scale);
        for (int i = 0; i < tokens; i++) {
            float *score = out1_p + item * square + i * tokens, *y = out0_p + (window * tokens + i) * width;
            y += head * size;
            for (int j = 0; j < tokens; j++)
                score[j] = bias[i * tokens + j] + (region[i] == region[j] ? 0.f : apart);
            for (int c = 0; c < size; c++) {
                const float factor = q[i * pitch + c], *key = keys.data() + c * tokens;
                for (int j = 0; j < tokens; j++) score[j] += factor * key[j];
            }
            float largest = score[0], sum = 0;
            for (int j = 0; j < tokens; j++) largest = std::max(largest, score[j]);
            for (int j = 0; j < tokens; j++) score[j] = std::exp(score[j] - largest), sum += score[j];
            for (int j = 0; j < tokens; j++) score[j] /= sum;
            for (int c = 0; c < size; c++) y[c] = 0;
            for (int j = 0; j < tokens; j++)
                for (int c = 0; c < size; c++) y[c] += score[j] * v[j * pitch + c];
        }
    }
"""
)
# With p the probabilities and e the gradient of a score: e = p (dp - sum p dp), dp = dy v.
_CPU_BACKWARD = (
    _SIZES
    + """
    #pragma omp parallel for
    for (long item = 0; item < windows * heads; item++) {
        const long window = item / heads, start = window * tokens * pitch + item % heads * size;
        const float *q = in0_p + start, *k = q + width, *all_p = in1_p + item * square;
        const float* dy = in2_p + window * tokens * width + item % heads * size;
        float *dq = out0_p + start, *dk = dq + width, *dv = dk + width, *all_e = out1_p + item * square;
        std::vector<float> values(size * tokens);
        transposed(values.data(), q + 2 * width, tokens, size, pitch, 1.f);
        for (int t = 0; t < tokens; t++)
            for (int c = 0; c < size; c++) dk[t * pitch + c] = dv[t * pitch + c] = 0;
        for (int i = 0; i < tokens; i++) {
            const float *p = all_p + i * tokens, *g = dy + i * width;
            float *e = all_e + i * tokens, sum = 0;
            for (int j = 0; j < tokens; j++) e[j] = 0;
            for (int c = 0; c < size; c++) {
                const float factor = g[c], *value = values.data() + c * tokens;
                for (int j = 0; j < tokens; j++) e[j] += factor * value[j];
            }
            for (int j = 0; j < tokens; j++) sum += p[j] * e[j];
            for (int j = 0; j < tokens; j++) e[j] = p[j] * (e[j] - sum);
            for (int c = 0; c < size; c++) dq[i * pitch + c] = 0;
            for (int j = 0; j < tokens; j++) {
                const float weight = scale * e[j];
                for (int c = 0; c < size; c++) {
                    dq[i * pitch + c] += weight * k[j * pitch + c];
                    dk[j * pitch + c] += weight * q[i * pitch + c];
                    dv[j * pitch + c] += p[j] * g[c];
                }
            }
        }
    }
"""
)
# One block per head of a window, one warp per token.
_CUDA_HEADER = """
namespace jittor { namespace {
__device__ inline float warp_sum(float value) {
    for (int step = 16; step > 0; step /= 2) value += __shfl_xor_sync(0xffffffffu, value, step);
    return value;
}
"""
_CUDA_FORWARD_HEADER = (
    _CUDA_HEADER
    + """
__device__ inline float warp_max(float value) {
    for (int step = 16; step > 0; step /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, step));
    return value;
}
__global__ void window_attention_kernel(
    const float* qkv, const float* all_bias, const int* regions, float* out, float* probs, int tokens,
    int heads, int width, int size, int sets, float scale, float apart) {
    const long item = blockIdx.x, window = item / heads, pitch = 3L * width;
    const int head = item % heads, lane = threadIdx.x % 32;
    const float *q = qkv + window * tokens * pitch + head * size, *k = q + width, *v = k + width;
    const float* bias = all_bias + (long)head * tokens * tokens;
    const int* region = regions + window % sets * tokens;
    for (int i = threadIdx.x / 32; i < tokens; i += blockDim.x / 32) {
        float* score = probs + (item * tokens + i) * tokens;
        float largest = -3e38f, sum = 0;
        for (int j = lane; j < tokens; j += 32) {
            float value = 0;
            for (int c = 0; c < size; c++) value += q[i * pitch + c] * k[j * pitch + c];
            value = value * scale + bias[i * tokens + j] + (region[i] == region[j] ? 0.f : apart);
            score[j] = value;
            largest = fmaxf(largest, value);
        }
        largest = warp_max(largest);
        for (int j = lane; j < tokens; j += 32) score[j] = expf(score[j] - largest), sum += score[j];
        sum = warp_sum(sum);
        for (int j = lane; j < tokens; j += 32) score[j] /= sum;
        __syncwarp();
        for (int c = lane; c < size; c += 32) {
            float value = 0;
            for (int j = 0; j < tokens; j++) value += score[j] * v[j * pitch + c];
            out[(window * tokens + i) * width + head * size + c] = value;
        }
    }
}
}}
"""
)
_CUDA_SIZES = """
    if (in0->num == 0) return;
    const int tokens = in0_shape1, heads = data["heads"], width = in0_shape2 / 3, size = width / heads;
    const float scale = 1.f / sqrtf((float)size);
"""
_CUDA_FORWARD = (
    _CUDA_SIZES
    + """
    window_attention_kernel<<<in0_shape0 * heads, 256>>>(in0_p, in1_p, in2_p, out0_p, out1_p, tokens, heads,
        width, size, in2_shape0, scale, (float)data["apart"]);
"""
)
_CUDA_BACKWARD_HEADER = (
    _CUDA_HEADER
    + """
__global__ void window_attention_grad_kernel(
    const float* qkv, const float* probs, const float* all_dy, float* dqkv, float* scores_grad, int tokens,
    int heads, int width, int size, float scale) {
    const long item = blockIdx.x, window = item / heads, pitch = 3L * width;
    const long start = window * tokens * pitch + item % heads * size;
    const float *q = qkv + start, *k = q + width, *v = k + width, *all_p = probs + item * tokens * tokens;
    const float* dy = all_dy + window * tokens * width + item % heads * size;
    float *dq = dqkv + start, *dk = dq + width, *dv = dk + width;
    float* all_e = scores_grad + item * tokens * tokens;
    const int lane = threadIdx.x % 32;
    for (int i = threadIdx.x / 32; i < tokens; i += blockDim.x / 32) {
        const float* p = all_p + i * tokens;
        float *e = all_e + i * tokens, sum = 0;
        for (int j = lane; j < tokens; j += 32) {
            float value = 0;
            for (int c = 0; c < size; c++) value += dy[i * width + c] * v[j * pitch + c];
            e[j] = value;
            sum += p[j] * value;
        }
        sum = warp_sum(sum);
        for (int j = lane; j < tokens; j += 32) e[j] = p[j] * (e[j] - sum);
        __syncwarp();
        for (int c = lane; c < size; c += 32) {
            float value = 0;
            for (int j = 0; j < tokens; j++) value += e[j] * k[j * pitch + c];
            dq[i * pitch + c] = scale * value;
        }
    }
    __syncthreads();
    for (int j = threadIdx.x / 32; j < tokens; j += blockDim.x / 32)
        for (int c = lane; c < size; c += 32) {
            float key = 0, value = 0;
            for (int i = 0; i < tokens; i++) {
                key += all_e[i * tokens + j] * q[i * pitch + c];
                value += all_p[i * tokens + j] * dy[i * width + c];
            }
            dk[j * pitch + c] = scale * key;
            dv[j * pitch + c] = value;
        }
}
}}
"""
)
_CUDA_BACKWARD = (
    _CUDA_SIZES
    + """
    window_attention_grad_kernel<<<in0_shape0 * heads, 256>>>(
        in0_p, in1_p, in2_p, out0_p, out1_p, tokens, heads, width, size, scale);
"""
)


class _WindowAttention(jt.Function):
    """The operator with gradients to the projections and to the bias."""

    def execute(self, qkv: jt.Var, bias: jt.Var, regions: jt.Var, num_heads: int) -> jt.Var:
        windows, tokens, width = qkv.shape
        y, probs = jt.code(
            [[windows, tokens, width // 3], [windows, num_heads, tokens, tokens]], ["float32", "float32"],
            [qkv, bias, regions], data={"heads": float(num_heads), "apart": APART},
            cpu_header=_CPU_HEADER, cpu_src=_CPU_FORWARD,
            cuda_header=_CUDA_FORWARD_HEADER, cuda_src=_CUDA_FORWARD,
        )  # fmt: skip
        self.saved = qkv, probs, num_heads
        return y

    def grad(self, dy: jt.Var) -> tuple[jt.Var | None, ...]:
        qkv, probs, num_heads = self.saved
        dqkv, dscores = jt.code(
            [qkv.shape, probs.shape], ["float32", "float32"], [qkv, probs, dy],
            data={"heads": float(num_heads)}, cpu_header=_CPU_HEADER, cpu_src=_CPU_BACKWARD,
            cuda_header=_CUDA_BACKWARD_HEADER, cuda_src=_CUDA_BACKWARD,
        )  # fmt: skip
        return dqkv, dscores.sum(0), None, None


def window_attention(qkv: jt.Var, bias: jt.Var, regions: jt.Var, num_heads: int) -> jt.Var:
    """Softmax attention of every window's tokens to each other: softmax(q k / sqrt(d) + bias) v per head.

    Args:
        qkv: [B, T, 3 * D] queries, keys and values of B windows of T tokens, each D = num_heads * d wide.
        bias: [num_heads, T, T] added to the scores of all windows.
        regions: [W, T] int32; `APART` is added to the score of two tokens of different regions. Window b has
            the regions of row b % W: W windows per image, or 1 where all are alike.
        num_heads: a divisor of D.
    Returns:
        [B, T, D]
    Raises:
        ValueError: the shapes do not fit.
    Source: arXiv:2103.14030, equation 4; the mask of shifted windows as in its released code.
    """
    windows, tokens, width = qkv.shape
    fits = tuple(bias.shape) == (num_heads, tokens, tokens) and width % (3 * num_heads) == 0
    if not fits or regions.shape[1] != tokens or windows % regions.shape[0]:
        shapes = [tuple(v.shape) for v in (qkv, bias, regions)]
        raise ValueError(
            f"window_attention: qkv, bias and regions of shapes {shapes} do not fit {num_heads} heads."
        )
    return _WindowAttention.apply(qkv.float32(), bias.float32(), regions, num_heads)
