"""Convolution of maps by whichever way is fastest for its shape and device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypedDict, Unpack

from jld.ops.biased_relu import biased_relu
from jld.ops.onednn_conv import onednn_conv
from jld.ops.pointwise_conv import pointwise_conv
from jld.ops.precision import FLOAT32, convolution_precision, rounded
from jld.ops.winograd_conv import winograd_conv, winograd_convs
from jld.toolchain import jittor as jt

# Fewer tiles of 4x4 results do not pay for the evaluation of the weights, narrow maps not for the products.
WINOGRAD_TILES, WINOGRAD_CHANNELS = 48, 32
# Set to 0 it leaves 3x3 convolutions to oneDNN, whose rounding errors are smaller.
SWITCH = "JLD_WINOGRAD"


class Geometry(TypedDict):
    """How filters move over a map; pairs are (vertical, horizontal) px."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int


class Conv2d(jt.nn.Conv):
    """Jittor's convolution layer, parameters `weight` and `bias`, computed by `conv2d`."""

    def execute(self, x: jt.Var, live: jt.Var | None = None, *, relu: bool = False) -> jt.Var:
        """[N, D, H, W] to [N, D', H', W'].

        Args:
            live: see `conv2d`.
            relu: whether a ReLU follows; for a layer with bias.
        Raises:
            ValueError: the map has another number of channels.
        """
        if x.shape[1] != self.in_channels:
            raise ValueError(f"a convolution of {self.in_channels} channels got a map of {x.shape[1]}.")
        y = conv2d(x, self.weight, **self._geometry(), live=live)
        if relu:
            return biased_relu(y, self.bias, live)
        return self._biased(y)

    def levels(self, maps: Sequence[jt.Var]) -> list[jt.Var]:
        """`execute` of every map of a pyramid [N, D, H_l, W_l], see `conv2d_levels`."""
        return [self._biased(y) for y in conv2d_levels(maps, self.weight, **self._geometry())]

    def one_by_one(self, maps: Sequence[jt.Var]) -> list[jt.Var]:
        """`levels` where every map must pass through `execute`, such as while operations are counted."""
        return [self(x) for x in maps]

    def _geometry(self) -> Geometry:
        return Geometry(stride=self.stride, padding=self.padding, dilation=self.dilation, groups=self.groups)

    def _biased(self, y: jt.Var) -> jt.Var:
        return y if self.bias is None else y + self.bias.broadcast(y, [0, 2, 3])


def conv2d(
    x: jt.Var,
    weight: jt.Var,
    *,
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    dilation: tuple[int, int] = (1, 1),
    groups: int = 1,
    live: jt.Var | None = None,
) -> jt.Var:
    """Convolution without a bias.

    On the CPU 1x1 filters become matrix products and 3x3 filters over many pixels and channels use Winograd's
    minimal filtering; everything else is oneDNN's, and on a GPU cuDNN's, called by Jittor. Where
    `convolutions_in` asks for half precision, a GPU computes in it, and the CPU rounds what it computes in
    float32 as a GPU would: map, weights, result and the gradients of all three.

    Args:
        x: [N, I, H, W]
        weight: [O, I / groups, h, w]
        live: [N] 1 for images whose results count, 0 for others, whose gradients must be 0: they take no time
            on the CPU. What they come to has no meaning. None: all count.
    Returns:
        [N, O, H', W']
    """
    precision = convolution_precision()
    geometry: Geometry = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    if precision == FLOAT32:
        return _convolve(x, weight, live, **geometry)
    if jt.flags.use_cuda:
        # The gradients of casts are casts: the operands of the backward pass are half as well.
        return jt.nn.conv2d(x.cast(precision), weight.cast(precision), **geometry).float32()
    both = rounded(x, precision), rounded(weight, precision)
    return rounded(_convolve(*both, live, **geometry), precision)


def conv2d_levels(maps: Sequence[jt.Var], weight: jt.Var, **geometry: Unpack[Geometry]) -> list[jt.Var]:
    """`conv2d` of the maps of a pyramid.

    Where 3x3 filters use Winograd's minimal filtering, one operator computes all maps: the filters are
    evaluated once, and maps that are too small for it alone come along.

    Args:
        maps: [N, I, H_l, W_l]
        weight, geometry: see `conv2d`.
    Returns:
        [N, O, H_l', W_l'] of every map.
    """
    is_plain = geometry == {"stride": (1, 1), "padding": (1, 1), "dilation": (1, 1), "groups": 1}
    is_exact = convolution_precision() == FLOAT32 and all(_is_on_onednn(x, weight) for x in maps)
    if is_plain and is_exact and tuple(weight.shape[2:]) == (3, 3) and _pays_for_winograd(maps, weight):
        return winograd_convs(maps, weight)
    return [conv2d(x, weight, **geometry) for x in maps]


def _convolve(
    x: jt.Var,
    weight: jt.Var,
    live: jt.Var | None,
    *,
    stride: tuple[int, int],
    padding: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
) -> jt.Var:
    if not _is_on_onednn(x, weight):
        return jt.nn.conv2d(x, weight, stride=stride, padding=padding, dilation=dilation, groups=groups)
    if groups == 1 and stride == dilation == (1, 1):
        filters = tuple(weight.shape[2:]), padding
        if filters == ((1, 1), (0, 0)):
            return pointwise_conv(x, weight, live)
        if filters == ((3, 3), (1, 1)) and _pays_for_winograd([x], weight):
            return winograd_conv(x, weight, live)
    return onednn_conv(x, weight, (*stride, *padding, *dilation, groups))


def _is_on_onednn(x: jt.Var, weight: jt.Var) -> bool:
    is_cpu = not jt.flags.use_cuda and jt.mkl_ops is not None
    return is_cpu and str(x.dtype) == str(weight.dtype) == "float32"


def _pays_for_winograd(maps: Sequence[jt.Var], weight: jt.Var) -> bool:
    sizes = [(x.shape[0], *x.shape[2:]) for x in maps]
    tiles = sum(images * ((height + 3) // 4) * ((width + 3) // 4) for images, height, width in sizes)
    is_wide = min(weight.shape[:2]) >= WINOGRAD_CHANNELS
    return is_wide and tiles >= WINOGRAD_TILES and os.environ.get(SWITCH) != "0"
