"""Deformable convolution: every tap of the kernel reads at a learned, fractional position.

In version 2, modulated, what a tap reads is also multiplied by a learned factor. A compiled operator gathers
the bilinear samples into columns; the product with the weight is an ordinary 1x1 convolution, so it runs on
oneDNN or cuDNN and needs no gradient of its own. Positions outside the map read zero.

Source: arXiv:1703.06211 and arXiv:1811.11168; order of the offset channels as in mmcv and detectron2 (y
before x, per tap, per deformable group; the factors behind all offsets).
"""

from __future__ import annotations

from dataclasses import dataclass

from jld.ops.conv2d import Conv2d, Geometry, conv2d
from jld.registry import DEFORMATIONS
from jld.toolchain import jittor as jt

# One item = one entry of the columns [N, D, taps, positions] (forward and input gradient) or one tap at one
# position (offset gradient). Shared word for word by the CPU and the CUDA build.
_ITEMS = """
struct Geometry {
    int channels, height, width, kernel_w, taps, groups, out_w, positions;
    int stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
};

// Where a tap reads: the cell above and left of the point, the point's place between cells, the image's edge;
// and the factor of what it reads (1 without a mask).
template <class T> struct Sample {
    int top, left;
    T down, right, factor;
    bool outside;
};

// The four cells around a sample's point, 0 beyond the map.
template <class T> struct Cells {
    T a, b, c, d;
};

JLD_FUNCTION long offset_index(const Geometry& g, long image, int group, int tap, int position) {
    return ((image * g.groups + group) * 2 * g.taps + 2 * tap) * g.positions + position;
}

JLD_FUNCTION long mask_index(const Geometry& g, long image, int group, int tap, int position) {
    return ((image * g.groups + group) * g.taps + tap) * g.positions + position;
}

template <class T> JLD_FUNCTION Sample<T> locate(
    const Geometry& g, const T* offset, const T* mask, long image, int group, int tap, int position) {
    const T* at = offset + offset_index(g, image, group, tap, position);
    int row = position / g.out_w, column = position % g.out_w;
    T y = row * g.stride_h - g.pad_h + (tap / g.kernel_w) * g.dilation_h + at[0];
    T x = column * g.stride_w - g.pad_w + (tap % g.kernel_w) * g.dilation_w + at[g.positions];
    Sample<T> s;
    s.outside = !(y > -1 && x > -1 && y < g.height && x < g.width);
    s.factor = mask ? mask[mask_index(g, image, group, tap, position)] : T(1);
    if (s.outside) return s;
    s.top = floor(y);
    s.left = floor(x);
    s.down = y - s.top;
    s.right = x - s.left;
    return s;
}

// The sample of one entry of the columns, and the number of its plane (image and channel).
template <class T> JLD_FUNCTION Sample<T> locate_item(
    const Geometry& g, long item, const T* offset, const T* mask, long& plane) {
    int position = item % g.positions, tap = item / g.positions % g.taps;
    plane = item / g.positions / g.taps;
    int group = plane % g.channels / (g.channels / g.groups);
    return locate(g, offset, mask, plane / g.channels, group, tap, position);
}

template <class T> JLD_FUNCTION T value_at(const Geometry& g, const T* plane, int y, int x) {
    return y >= 0 && y < g.height && x >= 0 && x < g.width ? plane[y * g.width + x] : T(0);
}

template <class T> JLD_FUNCTION Cells<T> cells_at(const Geometry& g, const T* plane, const Sample<T>& s) {
    return {value_at(g, plane, s.top, s.left), value_at(g, plane, s.top, s.left + 1),
            value_at(g, plane, s.top + 1, s.left), value_at(g, plane, s.top + 1, s.left + 1)};
}

template <class T> JLD_FUNCTION T between(const Cells<T>& v, const Sample<T>& s) {
    T upper = (1 - s.right) * v.a + s.right * v.b, lower = (1 - s.right) * v.c + s.right * v.d;
    return (1 - s.down) * upper + s.down * lower;
}

template <class T> JLD_FUNCTION void spread(const Geometry& g, T* plane, int y, int x, T amount) {
    if (y >= 0 && y < g.height && x >= 0 && x < g.width) JLD_ADD(plane + y * g.width + x, amount);
}

template <class T> JLD_FUNCTION void column_item(
    const Geometry& g, long item, const T* input, const T* offset, const T* mask, T* columns) {
    long plane;
    Sample<T> s = locate_item(g, item, offset, mask, plane);
    columns[item] = 0;
    if (!s.outside) columns[item] = s.factor * between(cells_at(g, input + plane * g.height * g.width, s), s);
}

template <class T> JLD_FUNCTION void input_grad_item(
    const Geometry& g, long item, const T* offset, const T* mask, const T* column_grad, T* input_grad) {
    long plane;
    Sample<T> s = locate_item(g, item, offset, mask, plane);
    if (s.outside) return;
    T* values = input_grad + plane * g.height * g.width;
    T amount = s.factor * column_grad[item];
    spread(g, values, s.top, s.left, amount * (1 - s.down) * (1 - s.right));
    spread(g, values, s.top, s.left + 1, amount * (1 - s.down) * s.right);
    spread(g, values, s.top + 1, s.left, amount * s.down * (1 - s.right));
    spread(g, values, s.top + 1, s.left + 1, amount * s.down * s.right);
}

// Gradients of one tap at one position: to its offset and, where there is a mask, to its factor.
template <class T> JLD_FUNCTION void tap_grad_item(
    const Geometry& g, long item, const T* input, const T* offset, const T* mask, const T* column_grad,
    T* offset_grad, T* mask_grad) {
    int position = item % g.positions, tap = item / g.positions % g.taps;
    long block = item / g.positions / g.taps, image = block / g.groups;
    int group = block % g.groups, width = g.channels / g.groups;
    T grad_y = 0, grad_x = 0, grad_factor = 0;
    Sample<T> s = locate(g, offset, mask, image, group, tap, position);
    for (int channel = group * width; channel < (group + 1) * width && !s.outside; channel++) {
        long plane = image * g.channels + channel;
        Cells<T> v = cells_at(g, input + plane * g.height * g.width, s);
        T amount = column_grad[(plane * g.taps + tap) * g.positions + position];
        grad_y += amount * ((1 - s.right) * (v.c - v.a) + s.right * (v.d - v.b));
        grad_x += amount * ((1 - s.down) * (v.b - v.a) + s.down * (v.d - v.c));
        if (mask_grad) grad_factor += amount * between(v, s);
    }
    T* at = offset_grad + offset_index(g, image, group, tap, position);
    at[0] = s.factor * grad_y;
    at[g.positions] = s.factor * grad_x;
    if (mask_grad) mask_grad[mask_index(g, image, group, tap, position)] = grad_factor;
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
using std::floor;
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
template <class T> __global__ void columns_kernel(
    Geometry g, long items, const T* input, const T* offset, const T* mask, T* out) {
    for (long i = JLD_START; i < items; i += JLD_STEP) column_item(g, i, input, offset, mask, out);
}
template <class T> __global__ void input_grad_kernel(
    Geometry g, long items, const T* offset, const T* mask, const T* grad, T* out) {
    for (long i = JLD_START; i < items; i += JLD_STEP) input_grad_item(g, i, offset, mask, grad, out);
}
template <class T> __global__ void tap_grad_kernel(
    Geometry g, long items, const T* input, const T* offset, const T* mask, const T* grad, T* out, T* more) {
    for (long i = JLD_START; i < items; i += JLD_STEP)
        tap_grad_item(g, i, input, offset, mask, grad, out, more);
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


def _sources(has_mask: bool) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """The operators of the columns and of the gradients of map and taps; a mask is the last input."""
    second, third, mask_grad = (
        ("in2_p", "in3_p", "out1_p") if has_mask else ("(decltype(out0_p))nullptr",) * 3
    )
    return (
        _source("planes", "column_item", "columns_kernel", f"in0_p, in1_p, {second}, out0_p"),
        _source(
            "planes", "input_grad_item", "input_grad_kernel", f"in0_p, {second}, in1_p, out0_p", clear=True
        ),
        _source(
            "(images * g.groups)", "tap_grad_item", "tap_grad_kernel",
            f"in0_p, in1_p, {third}, in2_p, out0_p, {mask_grad}",
        ),
    )  # fmt: skip


_SOURCES = {has_mask: _sources(has_mask) for has_mask in (False, True)}


class _Columns(jt.Function):
    """Bilinear samples as columns, with gradients to the map, the offsets and the mask, if there is one."""

    def execute(self, x: jt.Var, offset: jt.Var, mask: jt.Var | None, geometry: dict[str, float]) -> jt.Var:
        self.saved = x, offset, mask, geometry
        self.masks = [] if mask is None else [mask]
        self.sources = _SOURCES[mask is not None]
        shape = (x.shape[0], x.shape[1] * int(geometry["taps"]), *offset.shape[2:])
        return jt.code(shape, x.dtype, [x, offset, *self.masks], data=geometry, **self.sources[0])

    def grad(self, column_grad: jt.Var) -> tuple[jt.Var | None, ...]:
        x, offset, mask, geometry = self.saved
        inputs = [offset, column_grad, *self.masks]
        input_grad = jt.code(x.shape, x.dtype, inputs, data=geometry, **self.sources[1])
        wanted = [offset, *self.masks]
        tap_grads = jt.code(
            [each.shape for each in wanted], [each.dtype for each in wanted], [x, *inputs],
            data=geometry, **self.sources[2],
        )  # fmt: skip
        return input_grad, tap_grads[0], None if mask is None else tap_grads[1], None


def deform_conv2d(
    x: jt.Var,
    offset: jt.Var,
    weight: jt.Var,
    mask: jt.Var | None = None,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    deform_groups: int = 1,
) -> jt.Var:
    """Convolution whose taps read at their regular position plus an offset; in float64 where `x` is.

    Args:
        x: [N, D, H, W]
        offset: [N, deform_groups * 2 * taps, H', W'] px; for every tap (row-major) first y, then x.
        weight: [D', D / groups, kernel height, kernel width]
        mask: [N, deform_groups * taps, H', W'] factor of what a tap reads, usually in [0, 1]; None: 1.
        stride, padding, dilation, groups: as in an ordinary convolution; pairs are (vertical, horizontal).
        deform_groups: groups of input channels with offsets of their own.
    Returns:
        [N, D', H', W']
    Raises:
        ValueError: a shape does not fit.
    Source: arXiv:1703.06211, equation 2; arXiv:1811.11168, equation 1.
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
    of_mask = (images, wanted[1] // 2, *sizes)
    if mask is not None and tuple(mask.shape) != of_mask:
        raise ValueError(f"deform_conv2d needs a mask of shape {of_mask}, got {tuple(mask.shape)}.")
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
    dtype = "float64" if x.dtype == "float64" else "float32"
    inputs = [each if each is None else each.cast(dtype) for each in (x, offset, mask)]
    columns = _Columns.apply(*inputs, geometry)  # [N, D * taps, H', W']
    return conv2d(columns, weight.reshape((out_channels, -1, 1, 1)), groups=groups)


class _DeformGeometry(Geometry):
    deform_groups: int


@DEFORMATIONS.register
@dataclass(frozen=True)
class DCN:
    """Deformable convolutions in a backbone, version 1 (arXiv:1703.06211).

    Attributes:
        deform_groups: groups of input channels with offsets of their own.
    """

    deform_groups: int = 1
    modulated = False


@DEFORMATIONS.register
@dataclass(frozen=True)
class DCNv2(DCN):
    """Modulated deformable convolutions in a backbone, version 2 (arXiv:1811.11168)."""

    modulated = True


class DeformConv(jt.Module):
    """Deformable convolution with its own offset prediction; starts as the ordinary convolution.

    A modulated one (version 2) predicts the factor of every tap as well: a sigmoid, which starts at a half,
    so that it starts as half the ordinary convolution.

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
        modulated: bool = False,
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
        self.modulated, self.num_offsets = modulated, deform_groups * 2 * kernel_size**2
        self.conv_offset = Conv2d(
            in_channels,
            self.num_offsets * 3 // 2 if modulated else self.num_offsets,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
        )
        self.conv_offset.weight = jt.zeros(self.conv_offset.weight.shape)
        self.conv_offset.bias = jt.zeros(self.conv_offset.bias.shape)

    def execute(self, x: jt.Var) -> jt.Var:
        """[N, D, H, W] to [N, D', H', W']."""
        offset, mask = self.conv_offset(x), None
        if self.modulated:
            offset, mask = offset[:, : self.num_offsets], jt.sigmoid(offset[:, self.num_offsets :])
        y = deform_conv2d(x, offset, self.weight, mask, **self.geometry)
        return y if self.bias is None else y + self.bias.broadcast(y, [0, 2, 3])
