"""Scale and shift of every channel with what usually follows: adding a shortcut, and a ReLU.

Frozen batch normalisation is such a product. As one operator each way it reads and writes each map once, and
all of a network's layers share two kernels for each direction, where fusion by the compiler makes a kernel of
its own for every combination of neighbours.
"""

from __future__ import annotations

from jld.toolchain import jittor as jt

_CPU_FORWARD = """
    const int channels = in0_shape1, relu = data["relu"];
    const long area = (long)in0_shape2 * in0_shape3;
    #pragma omp parallel for
    for (int plane = 0; plane < in0_shape0 * channels; plane++) {
        const float scale = in1_p[plane % channels], shift = in2_p[plane % channels];
        for (long i = plane * area; i < (plane + 1) * area; i++) {
            const float value = in0_p[i] * scale + shift {plus_shortcut};
            out0_p[i] = relu && value < 0 ? 0 : value;
        }
    }
"""
# With g = dy, 0 where the ReLU cut: dx = scale g, dscale = sum g x, dshift = sum g; the shortcut gets g.
_CPU_BACKWARD = """
    const int channels = in0_shape1, relu = data["relu"];
    const long area = (long)in0_shape2 * in0_shape3;
    #pragma omp parallel for
    for (int plane = 0; plane < in0_shape0 * channels; plane++) {
        const float scale = in3_p[plane % channels];
        float sum = 0, product = 0;
        for (long i = plane * area; i < (plane + 1) * area; i++) {
            const float g = relu && in1_p[i] <= 0 ? 0 : in2_p[i];
            sum += g;
            product += g * in0_p[i];
            out0_p[i] = g * scale;
            {keep_gradient}
        }
        out1_p[2 * plane] = product;
        out1_p[2 * plane + 1] = sum;
    }
"""
_CUDA_FORWARD_HEADER = """
namespace jittor { namespace {
__global__ void channel_affine_kernel(const float* x, const float* scale, const float* shift,
                                      const float* shortcut, float* y, int channels, long area, long count,
                                      int relu) {
    for (long i = blockIdx.x * (long)blockDim.x + threadIdx.x; i < count; i += (long)blockDim.x * gridDim.x) {
        const int channel = i / area % channels;
        float value = x[i] * scale[channel] + shift[channel];
        if (shortcut) value += shortcut[i];
        y[i] = relu && value < 0 ? 0 : value;
    }
}
}}
"""
_CUDA_FORWARD = """
    const long area = (long)in0_shape2 * in0_shape3, count = in0->num;
    if (count == 0) return;
    const int blocks = (int)((count + 255) / 256 < 65536 ? (count + 255) / 256 : 65536);
    channel_affine_kernel<<<blocks, 256>>>(
        in0_p, in1_p, in2_p, {shortcut}, out0_p, (int)in0_shape1, area, count, (int)data["relu"]);
"""
_CUDA_BACKWARD_HEADER = """
namespace jittor { namespace {
// One block for each plane of one image and channel, so that its sums need no atomics.
__global__ void channel_affine_grad_kernel(const float* x, const float* y, const float* dy,
                                           const float* scale, float* dx, float* sums, float* dshortcut,
                                           int channels, long area, int relu) {
    __shared__ float parts[2][8];
    const long start = blockIdx.x * area;
    const float factor = scale[blockIdx.x % channels];
    float sum = 0, product = 0;
    for (long i = start + threadIdx.x; i < start + area; i += blockDim.x) {
        const float g = relu && y[i] <= 0 ? 0 : dy[i];
        sum += g;
        product += g * x[i];
        dx[i] = g * factor;
        if (dshortcut) dshortcut[i] = g;
    }
    for (int step = 16; step > 0; step /= 2) {
        sum += __shfl_down_sync(0xffffffffu, sum, step);
        product += __shfl_down_sync(0xffffffffu, product, step);
    }
    if (threadIdx.x % 32 == 0) parts[0][threadIdx.x / 32] = product, parts[1][threadIdx.x / 32] = sum;
    __syncthreads();
    if (threadIdx.x < 2) {
        float total = 0;
        for (int warp = 0; warp < 8; warp++) total += parts[threadIdx.x][warp];
        sums[2 * blockIdx.x + threadIdx.x] = total;
    }
}
}}
"""
_CUDA_BACKWARD = """
    if (in0->num == 0) return;
    channel_affine_grad_kernel<<<in0_shape0 * in0_shape1, 256>>>(
        in0_p, in1_p, in2_p, in3_p, out0_p, out1_p, {dshortcut}, (int)in0_shape1,
        (long)in0_shape2 * in0_shape3, (int)data["relu"]);
"""


def _sources(has_shortcut: bool) -> tuple[dict, dict]:
    """Arguments of `jt.code` for (forward, backward)."""
    words = {
        "{plus_shortcut}": "+ in3_p[i]" if has_shortcut else "",
        "{keep_gradient}": "out2_p[i] = g;" if has_shortcut else "",
        "{shortcut}": "in3_p" if has_shortcut else "nullptr",
        "{dshortcut}": "out2_p" if has_shortcut else "nullptr",
    }

    def filled(cpu_src: str, cuda_src: str, cuda_header: str) -> dict:
        for word, text in words.items():
            cpu_src, cuda_src = cpu_src.replace(word, text), cuda_src.replace(word, text)
        return {"cpu_src": cpu_src, "cuda_src": cuda_src, "cuda_header": cuda_header}

    return (
        filled(_CPU_FORWARD, _CUDA_FORWARD, _CUDA_FORWARD_HEADER),
        filled(_CPU_BACKWARD, _CUDA_BACKWARD, _CUDA_BACKWARD_HEADER),
    )


_SOURCES = {has_shortcut: _sources(has_shortcut) for has_shortcut in (False, True)}


class _ChannelAffine(jt.Function):
    """The operator with gradients to all of its inputs."""

    def execute(self, x: jt.Var, scale: jt.Var, shift: jt.Var, shortcut: jt.Var | None, relu: bool) -> jt.Var:
        inputs = [x, scale, shift] if shortcut is None else [x, scale, shift, shortcut]
        forward, _ = _SOURCES[shortcut is not None]
        y = jt.code(x.shape, "float32", inputs, data={"relu": int(relu)}, **forward)
        # Without a ReLU nothing is read of y, which need not stay then.
        self.saved = x, y if relu else x, scale, relu, shortcut is not None
        return y

    def grad(self, dy: jt.Var) -> tuple[jt.Var | None, ...]:
        x, y, scale, relu, has_shortcut = self.saved
        shapes = [x.shape, (*x.shape[:2], 2)] + [x.shape] * has_shortcut
        _, backward = _SOURCES[has_shortcut]
        dx, sums, *rest = jt.code(
            shapes, ["float32"] * len(shapes), [x, y, dy, scale], data={"relu": int(relu)}, **backward
        )
        sums = sums.sum(0)  # [D, 2]
        return dx, sums[:, 0], sums[:, 1], rest[0] if rest else None, None


def channel_affine(
    x: jt.Var, scale: jt.Var, shift: jt.Var, shortcut: jt.Var | None = None, *, relu: bool = False
) -> jt.Var:
    """The result of x scale + shift (+ shortcut), then a ReLU where asked for.

    Args:
        x: [N, D, H, W].
        scale, shift: [D].
        shortcut: [N, D, H, W] or None.
        relu: negative results become 0, whose gradient is 0.
    Returns:
        [N, D, H, W] in float32; on the CPU a ReLU turns NaN into 0, as Jittor's own does.
    Raises:
        ValueError: the shapes do not fit.
    """
    shapes = [tuple(v.shape) for v in (x, scale, shift, x if shortcut is None else shortcut)]
    if len(shapes[0]) != 4 or shapes[1:] != [shapes[0][1:2]] * 2 + [shapes[0]]:
        raise ValueError(f"channel_affine: map, scale, shift and shortcut of shapes {shapes} do not fit.")
    inputs = [v if v is None else v.float32() for v in (x, scale, shift, shortcut)]
    return _ChannelAffine.apply(*inputs, relu)
