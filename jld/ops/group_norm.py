"""Group normalisation with an optional ReLU behind it, one operator each way.

A group of a map is one contiguous stretch of memory that fits a core's cache: it is read from memory once,
where separate reductions and products read it several times. Source: arXiv:1803.08494.
"""

from __future__ import annotations

from jld.toolchain import jittor as jt

# One thread works on one group. The mean is taken off first: differences of large products would cancel.
_CPU_FORWARD = """
    const int groups = data["groups"], relu = data["relu"];
    const float eps = data["eps"];
    const long area = (long)in0_shape2 * in0_shape3, width = in0_shape1 / groups, count = width * area;
    #pragma omp parallel for
    for (int slice = 0; slice < in0_shape0 * groups; slice++) {
        const float* x = in0_p + slice * count;
        float* y = out0_p + slice * count;
        double total = 0, squares = 0;
        for (int c = 0; c < width; c++) {
            float part = 0;
            for (long i = 0; i < area; i++) part += x[c * area + i];
            total += part;
        }
        const float mean = total / count;
        for (int c = 0; c < width; c++) {
            float part = 0;
            for (long i = 0; i < area; i++) part += (x[c * area + i] - mean) * (x[c * area + i] - mean);
            squares += part;
        }
        const float inverse = 1.0 / std::sqrt(squares / count + eps);
        out1_p[2 * slice] = mean;
        out1_p[2 * slice + 1] = inverse;
        for (int c = 0; c < width; c++) {
            const long channel = slice % groups * width + c;
            const float scale = inverse * in1_p[channel], shift = in2_p[channel];
            for (long i = c * area; i < (c + 1) * area; i++) {
                const float value = (x[i] - mean) * scale + shift;
                y[i] = relu && value < 0 ? 0 : value;
            }
        }
    }
"""
# With h the normalised input and g = dy, 0 where the ReLU cut: dbias = sum g, dweight = sum g h,
# dx = (weight g - mean(weight g) - h mean(weight g h)) / std.
_CPU_BACKWARD = """
    const int groups = data["groups"], relu = data["relu"];
    const long area = (long)in0_shape2 * in0_shape3, width = in0_shape1 / groups, count = width * area;
    #pragma omp parallel for
    for (int slice = 0; slice < in0_shape0 * groups; slice++) {
        const float *x = in0_p + slice * count, *y = in1_p + slice * count, *dy = in2_p + slice * count;
        float* dx = out0_p + slice * count;
        const float mean = in4_p[2 * slice], inverse = in4_p[2 * slice + 1];
        double all = 0, along = 0;
        for (int c = 0; c < width; c++) {
            float sum = 0, product = 0;
            for (long i = c * area; i < (c + 1) * area; i++) {
                const float g = relu && y[i] <= 0 ? 0 : dy[i];
                sum += g;
                product += g * (x[i] - mean);
            }
            const long channel = slice % groups * width + c;
            product *= inverse;
            out1_p[2 * (slice * width + c)] = product;
            out1_p[2 * (slice * width + c) + 1] = sum;
            all += in3_p[channel] * sum;
            along += in3_p[channel] * product;
        }
        const float slope = -along / count * inverse * inverse;
        const float offset = -all / count * inverse;
        for (int c = 0; c < width; c++) {
            const float scale = in3_p[slice % groups * width + c] * inverse;
            for (long i = c * area; i < (c + 1) * area; i++)
                dx[i] = scale * (relu && y[i] <= 0 ? 0 : dy[i]) + slope * (x[i] - mean) + offset;
        }
    }
"""
_CUDA_SUM = """
namespace jittor { namespace {
// Sum over the block, returned to all of its threads.
__device__ inline float block_sum(float value) {
    __shared__ float parts[32];
    for (int step = 16; step > 0; step /= 2) value += __shfl_down_sync(0xffffffffu, value, step);
    __syncthreads();
    if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
    __syncthreads();
    float total = 0;
    for (int warp = 0; warp < blockDim.x / 32; warp++) total += parts[warp];
    return total;
}
"""
_CUDA_FORWARD_HEADER = (
    _CUDA_SUM
    + """
__global__ void group_norm_kernel(const float* all_x, const float* weight, const float* bias, float* all_y,
                                  float* statistics, int groups, int width, long area, float eps, int relu) {
    const long count = width * area, slice = blockIdx.x;
    const float* x = all_x + slice * count;
    float* y = all_y + slice * count;
    float part = 0;
    for (long i = threadIdx.x; i < count; i += blockDim.x) part += x[i];
    const float mean = block_sum(part) / count;
    part = 0;
    for (long i = threadIdx.x; i < count; i += blockDim.x) part += (x[i] - mean) * (x[i] - mean);
    const float inverse = 1.f / sqrtf(block_sum(part) / count + eps);
    if (threadIdx.x == 0) statistics[2 * slice] = mean, statistics[2 * slice + 1] = inverse;
    for (int c = 0; c < width; c++) {
        const long channel = slice % groups * width + c;
        const float scale = inverse * weight[channel], shift = bias[channel];
        for (long i = c * area + threadIdx.x; i < (c + 1) * area; i += blockDim.x) {
            const float value = (x[i] - mean) * scale + shift;
            y[i] = relu && value < 0 ? 0 : value;
        }
    }
}
}}
"""
)
_CUDA_FORWARD = """
    if (in0->num == 0) return;
    const int groups = data["groups"];
    group_norm_kernel<<<in0_shape0 * groups, 512>>>(
        in0_p, in1_p, in2_p, out0_p, out1_p, groups, in0_shape1 / groups, (long)in0_shape2 * in0_shape3,
        (float)data["eps"], (int)data["relu"]);
"""
_CUDA_BACKWARD_HEADER = (
    _CUDA_SUM
    + """
__global__ void group_norm_grad_kernel(const float* all_x, const float* all_y, const float* all_dy,
                                       const float* weight, const float* statistics, float* all_dx,
                                       float* sums, int groups, int width, long area, int relu) {
    const long count = width * area, slice = blockIdx.x;
    const float *x = all_x + slice * count, *y = all_y + slice * count, *dy = all_dy + slice * count;
    float* dx = all_dx + slice * count;
    const float mean = statistics[2 * slice], inverse = statistics[2 * slice + 1];
    float all = 0, along = 0;
    for (int c = 0; c < width; c++) {
        float sum = 0, product = 0;
        for (long i = c * area + threadIdx.x; i < (c + 1) * area; i += blockDim.x) {
            const float g = relu && y[i] <= 0 ? 0 : dy[i];
            sum += g;
            product += g * (x[i] - mean);
        }
        sum = block_sum(sum);
        product = block_sum(product) * inverse;
        if (threadIdx.x == 0) {
            sums[2 * (slice * width + c)] = product;
            sums[2 * (slice * width + c) + 1] = sum;
        }
        all += weight[slice % groups * width + c] * sum;
        along += weight[slice % groups * width + c] * product;
    }
    const float slope = -along / count * inverse * inverse;
    const float offset = -all / count * inverse;
    for (int c = 0; c < width; c++) {
        const float scale = weight[slice % groups * width + c] * inverse;
        for (long i = c * area + threadIdx.x; i < (c + 1) * area; i += blockDim.x)
            dx[i] = scale * (relu && y[i] <= 0 ? 0 : dy[i]) + slope * (x[i] - mean) + offset;
    }
}
}}
"""
)
_CUDA_BACKWARD = """
    if (in0->num == 0) return;
    const int groups = data["groups"];
    group_norm_grad_kernel<<<in0_shape0 * groups, 512>>>(
        in0_p, in1_p, in2_p, in3_p, in4_p, out0_p, out1_p, groups, in0_shape1 / groups,
        (long)in0_shape2 * in0_shape3, (int)data["relu"]);
"""
_CPU_HEADER = "#include <cmath>\n"


class _GroupNorm(jt.Function):
    """The operator with gradients to all three inputs."""

    def execute(self, x: jt.Var, weight: jt.Var, bias: jt.Var, settings: dict[str, float]) -> jt.Var:
        shapes = x.shape, (x.shape[0], settings["groups"], 2)
        y, statistics = jt.code(
            shapes, ("float32", "float32"), [x, weight, bias], data=settings,
            cpu_header=_CPU_HEADER, cpu_src=_CPU_FORWARD,
            cuda_header=_CUDA_FORWARD_HEADER, cuda_src=_CUDA_FORWARD,
        )  # fmt: skip
        # Without a ReLU nothing is read of y, which need not stay then.
        self.saved = x, y if settings["relu"] else x, weight, statistics, settings
        return y

    def grad(self, dy: jt.Var) -> tuple[jt.Var | None, ...]:
        x, y, weight, statistics, settings = self.saved
        shapes = x.shape, (*x.shape[:2], 2)
        dx, sums = jt.code(
            shapes, ("float32", "float32"), [x, y, dy, weight, statistics], data=settings,
            cpu_header=_CPU_HEADER, cpu_src=_CPU_BACKWARD,
            cuda_header=_CUDA_BACKWARD_HEADER, cuda_src=_CUDA_BACKWARD,
        )  # fmt: skip
        sums = sums.sum(0)  # [D, 2]
        return dx, sums[:, 0], sums[:, 1], None


def group_norm(
    x: jt.Var, weight: jt.Var, bias: jt.Var, num_groups: int, *, eps: float = 1e-5, relu: bool = False
) -> jt.Var:
    """Normalises every group of channels by its own mean and variance, then scales and shifts each channel.

    Args:
        x: [N, D, H, W].
        weight, bias: [D].
        num_groups: a divisor of D.
        eps: added to the variance.
        relu: negative results become 0, whose gradient is 0.
    Returns:
        [N, D, H, W] in float32; on the CPU a ReLU turns NaN into 0, as Jittor's own does.
    Raises:
        ValueError: the shapes do not fit, or `num_groups` does not divide D.
    Source: arXiv:1803.08494, equations 1 to 6.
    """
    shapes = [tuple(v.shape) for v in (x, weight, bias)]
    if len(shapes[0]) != 4 or shapes[1:] != [shapes[0][1:2]] * 2 or shapes[0][1] % num_groups:
        raise ValueError(
            f"group_norm: map, weight and bias of shapes {shapes} and {num_groups} groups do not fit."
        )
    settings = {"groups": num_groups, "eps": eps, "relu": int(relu)}
    return _GroupNorm.apply(x.float32(), weight.float32(), bias.float32(), settings)
