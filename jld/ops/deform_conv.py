"""Deformable convolution (v1): every tap of the kernel reads at a learned, fractional position.

A compiled operator gathers the bilinear samples into columns; the product with the weight is an ordinary 1x1
convolution, so it runs on oneDNN or cuDNN and needs no gradient of its own. Positions outside the map read
zero.

Source: arXiv:1703.06211; order of the offset channels as in mmcv (y before x, per tap, per deformable group).
"""

from __future__ import annotations

from jld.ops.conv2d import Conv2d, Geometry, conv2d
from jld.toolchain import jittor as jt

# One item = one entry of the columns [N, D, taps, positions] (forward and input gradient) or one tap at one
# position (offset gradient). Shared word for word by the CPU and the CUDA build.
_ITEMS = """
struct Geometry {
    int channels, height, width, kernel_w, taps, groups, out_w, positions;
    int stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
};

// Where a tap reads: the cell above and left of the point, the point's place between cells, the image's edge.
struct Sample {
    int top, left;
    float down, right;
    bool outside;
};

JLD_FUNCTION long offset_index(const Geometry& g, long image, int group, int tap, int position) {
    return ((image * g.groups + group) * 2 * g.taps + 2 * tap) * g.positions + position;
}

JLD_FUNCTION Sample locate(
    const Geometry& g, const float* offset, long image, int group, int tap, int position) {
    const float* at = offset + offset_index(g, image, group, tap, position);
    int row = position / g.out_w, column = position % g.out_w;
    float y = row * g.stride_h - g.pad_h + (tap / g.kernel_w) * g.dilation_h + at[0];
    float x = column * g.stride_w - g.pad_w + (tap % g.kernel_w) * g.dilation_w + at[g.positions];
    Sample s;
    s.outside = !(y > -1 && x > -1 && y < g.height && x < g.width);
    if (s.outside) return s;
    s.top = floorf(y);
    s.left = floorf(x);
    s.down = y - s.top;
    s.right = x - s.left;
    return s;
}

// The sample of one entry of the columns, and the number of its plane (image and channel).
JLD_FUNCTION Sample locate_item(const Geometry& g, long item, const float* offset, long& plane) {
    int position = item % g.positions, tap = item / g.positions % g.taps;
    plane = item / g.positions / g.taps;
    int group = plane % g.channels / (g.channels / g.groups);
    return locate(g, offset, plane / g.channels, group, tap, position);
}

JLD_FUNCTION float value_at(const Geometry& g, const float* plane, int y, int x) {
    return y >= 0 && y < g.height && x >= 0 && x < g.width ? plane[y * g.width + x] : 0.f;
}

JLD_FUNCTION void spread(const Geometry& g, float* plane, int y, int x, float amount) {
    if (y >= 0 && y < g.height && x >= 0 && x < g.width) JLD_ADD(plane + y * g.width + x, amount);
}

JLD_FUNCTION void column_item(
    const Geometry& g, long item, const float* input, const float* offset, float* columns) {
    long plane;
    Sample s = locate_item(g, item, offset, plane);
    columns[item] = 0;
    if (s.outside) return;
    const float* values = input + plane * g.height * g.width;
    float a = value_at(g, values, s.top, s.left), b = value_at(g, values, s.top, s.left + 1);
    float c = value_at(g, values, s.top + 1, s.left), d = value_at(g, values, s.top + 1, s.left + 1);
    float upper = (1 - s.right) * a + s.right * b, lower = (1 - s.right) * c + s.right * d;
    columns[item] = (1 - s.down) * upper + s.down * lower;
}

JLD_FUNCTION void input_grad_item(
    const Geometry& g, long item, const float* offset, const float* column_grad, float* input_grad) {
    long plane;
    Sample s = locate_item(g, item, offset, plane);
    if (s.outside) return;
    float* values = input_grad + plane * g.height * g.width;
    float amount = column_grad[item];
    spread(g, values, s.top, s.left, amount * (1 - s.down) * (1 - s.right));
    spread(g, values, s.top, s.left + 1, amount * (1 - s.down) * s.right);
    spread(g, values, s.top + 1, s.left, amount * s.down * (1 - s.right));
    spread(g, values, s.top + 1, s.left + 1, amount * s.down * s.right);
}

JLD_FUNCTION void offset_grad_item(
    const Geometry& g, long item, const float* input, const float* offset, const float* column_grad,
    float* offset_grad) {
    int position = item % g.positions, tap = item / g.positions % g.taps;
    long block = item / g.positions / g.taps, image = block / g.groups;
    int group = block % g.groups, width = g.channels / g.groups;
    float grad_y = 0, grad_x = 0;
    Sample s = locate(g, offset, image, group, tap, position);
    for (int channel = group * width; channel < (group + 1) * width && !s.outside; channel++) {
        long plane = image * g.channels + channel;
        const float* values = input + plane * g.height * g.width;
        float amount = column_grad[(plane * g.taps + tap) * g.positions + position];
        float a = value_at(g, values, s.top, s.left), b = value_at(g, values, s.top, s.left + 1);
        float c = value_at(g, values, s.top + 1, s.left), d = value_at(g, values, s.top + 1, s.left + 1);
        grad_y += amount * ((1 - s.right) * (c - a) + s.right * (d - b));
        grad_x += amount * ((1 - s.down) * (b - a) + s.down * (d - c));
    }
    float* at = offset_grad + offset_index(g, image, group, tap, position);
    at[0] = grad_y;
    at[g.positions] = grad_x;
}
"""

_CPU_HEADER = (
    """
#include <cmath>
#include <cstring>
#undef JLD_FUNCTION
#undef JLD_ADD
#define JLD_FUNCTION static inline
#define JLD_ADD(where, amount) (*(where) += (amount))
namespace jittor { namespace {
"""
    + _ITEMS
    + "}}\n"
)
_CUDA_HEADER = (
    """
#include <algorithm>
#undef JLD_FUNCTION
#undef JLD_ADD
#define JLD_FUNCTION static __device__ inline
#define JLD_ADD(where, amount) atomicAdd((where), (amount))
namespace jittor { namespace {
"""
    + _ITEMS
    + """
#define JLD_START (blockIdx.x * (long)blockDim.x + threadIdx.x)
#define JLD_STEP ((long)blockDim.x * gridDim.x)
__global__ void columns_kernel(Geometry g, long items, const float* input, const float* offset, float* out) {
    for (long i = JLD_START; i < items; i += JLD_STEP) column_item(g, i, input, offset, out);
}
__global__ void input_grad_kernel(
    Geometry g, long items, const float* offset, const float* grad, float* out) {
    for (long i = JLD_START; i < items; i += JLD_STEP) input_grad_item(g, i, offset, grad, out);
}
__global__ void offset_grad_kernel(
    Geometry g, long items, const float* input, const float* offset, const float* grad, float* out) {
    for (long i = JLD_START; i < items; i += JLD_STEP) offset_grad_item(g, i, input, offset, grad, out);
}
}}
"""
)

_GEOMETRY = """
    Geometry g;
    g.channels = data["channels"]; g.height = data["height"]; g.width = data["width"];
    g.kernel_w = data["kernel_w"]; g.taps = data["taps"]; g.groups = data["groups"];
    g.out_w = data["out_w"]; g.positions = data["positions"];
    g.stride_h = data["stride_h"]; g.stride_w = data["stride_w"];
    g.pad_h = data["pad_h"]; g.pad_w = data["pad_w"];
    g.dilation_h = data["dilation_h"]; g.dilation_w = data["dilation_w"];
    long images = data["images"], planes = images * g.channels, per_plane = (long)g.taps * g.positions;
"""
# On the CPU one thread owns one plane (or one deformable group), so sums need no atomics.
_CPU_LOOP = """
    #pragma omp parallel for
    for (long plane = 0; plane < {planes}; plane++)
        for (long i = plane * per_plane; i < (plane + 1) * per_plane; i++) {item};
"""
_CUDA_LAUNCH = (
    "    {kernel}<<<(int)std::min((({items}) + 255) / 256, 65535l), 256>>>(g, {items}, {arguments});\n"
)


def _source(planes: str, item: str, kernel: str, arguments: str, clear: bool = False) -> dict[str, str]:
    cpu = ("    std::memset(out0_p, 0, out0->size);\n" if clear else "") + _CPU_LOOP.format(
        planes=planes, item=f"{item}(g, i, {arguments})"
    )
    cuda = ("    cudaMemsetAsync(out0_p, 0, out0->size, 0);\n" if clear else "") + _CUDA_LAUNCH.format(
        kernel=kernel, items=f"{planes} * per_plane", arguments=arguments
    )
    return {
        "cpu_header": _CPU_HEADER,
        "cpu_src": _GEOMETRY + cpu,
        "cuda_header": _CUDA_HEADER,
        "cuda_src": _GEOMETRY + cuda,
    }


_COLUMNS = _source("planes", "column_item", "columns_kernel", "in0_p, in1_p, out0_p")
_INPUT_GRAD = _source("planes", "input_grad_item", "input_grad_kernel", "in0_p, in1_p, out0_p", clear=True)
_OFFSET_GRAD = _source(
    "(images * g.groups)", "offset_grad_item", "offset_grad_kernel", "in0_p, in1_p, in2_p, out0_p"
)


class _Columns(jt.Function):
    """Bilinear samples as columns, with gradients to the map and to the offsets."""

    def execute(self, x: jt.Var, offset: jt.Var, geometry: dict[str, float]) -> jt.Var:
        self.saved = x, offset, geometry
        shape = (x.shape[0], x.shape[1] * int(geometry["taps"]), *offset.shape[2:])
        return jt.code(shape, "float32", [x, offset], data=geometry, **_COLUMNS)

    def grad(self, column_grad: jt.Var) -> tuple[jt.Var | None, ...]:
        x, offset, geometry = self.saved
        input_grad = jt.code(x.shape, "float32", [offset, column_grad], data=geometry, **_INPUT_GRAD)
        offset_grad = jt.code(
            offset.shape, "float32", [x, offset, column_grad], data=geometry, **_OFFSET_GRAD
        )
        return input_grad, offset_grad, None


def deform_conv2d(
    x: jt.Var,
    offset: jt.Var,
    weight: jt.Var,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    deform_groups: int = 1,
) -> jt.Var:
    """Convolution whose taps read at their regular position plus an offset.

    Args:
        x: [N, D, H, W]
        offset: [N, deform_groups * 2 * taps, H', W'] px; for every tap (row-major) first y, then x.
        weight: [D', D / groups, kernel height, kernel width]
        stride, padding, dilation: (vertical, horizontal) px.
        groups: as in an ordinary convolution.
        deform_groups: groups of input channels with offsets of their own.
    Returns:
        [N, D', H', W']
    Raises:
        ValueError: the shape of `offset` does not fit.
    Source: arXiv:1703.06211, equation 2.
    """
    images, channels, height, width = x.shape
    out_channels, _, kernel_h, kernel_w = weight.shape
    sizes = [
        (size + 2 * padding[i] - dilation[i] * (kernel - 1) - 1) // stride[i] + 1
        for i, (size, kernel) in enumerate(((height, kernel_h), (width, kernel_w)))
    ]
    wanted = (images, deform_groups * 2 * kernel_h * kernel_w, *sizes)
    if tuple(offset.shape) != wanted or channels % deform_groups:
        raise ValueError(f"deform_conv2d needs offsets of shape {wanted}, got {tuple(offset.shape)}.")
    geometry = {
        "images": images,
        "channels": channels,
        "height": height,
        "width": width,
        "kernel_w": kernel_w,
        "taps": kernel_h * kernel_w,
        "groups": deform_groups,
        "out_w": sizes[1],
        "positions": sizes[0] * sizes[1],
        "stride_h": stride[0],
        "stride_w": stride[1],
        "pad_h": padding[0],
        "pad_w": padding[1],
        "dilation_h": dilation[0],
        "dilation_w": dilation[1],
    }  # data of the operator, not part of its source: other sizes do not compile again
    columns = _Columns.apply(x.float32(), offset.float32(), geometry)  # [N, D * taps, H', W']
    return conv2d(columns, weight.reshape((out_channels, -1, 1, 1)), groups=groups)


class _DeformGeometry(Geometry):
    deform_groups: int


class DeformConv(jt.Module):
    """Deformable convolution with its own offset prediction; starts as the ordinary convolution.

    Parameters: `weight`, optional `bias`, and `conv_offset.weight`, `conv_offset.bias`, which start at zero.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        groups: int = 1,
        deform_groups: int = 1,
        bias: bool = False,
    ):
        """Arguments as those of an ordinary convolution; the offset convolution is never grouped."""
        plain = Conv2d(in_channels, out_channels, kernel_size, groups=groups, bias=bias)
        self.weight, self.bias = plain.weight, plain.bias
        self.geometry: _DeformGeometry = {
            "stride": (stride, stride),
            "padding": (padding, padding),
            "dilation": (dilation, dilation),
            "groups": groups,
            "deform_groups": deform_groups,
        }
        self.conv_offset = Conv2d(
            in_channels,
            deform_groups * 2 * kernel_size**2,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
        )
        self.conv_offset.weight = jt.zeros(self.conv_offset.weight.shape)
        self.conv_offset.bias = jt.zeros(self.conv_offset.bias.shape)

    def execute(self, x: jt.Var) -> jt.Var:
        """[N, D, H, W] to [N, D', H', W']."""
        y = deform_conv2d(x, self.conv_offset(x), self.weight, **self.geometry)
        return y if self.bias is None else y + self.bias.broadcast(y, [0, 2, 3])
