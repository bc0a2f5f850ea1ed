"""Small layers shared by backbones, necks and heads, and the initial values of their parameters.

Parameter names follow the public PyTorch checkpoints (`conv.weight`, `gn.weight`, `scale`, `running_mean`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from jld.losses.reduction import total
from jld.ops.channel_affine import channel_affine
from jld.ops.conv2d import Conv2d
from jld.ops.group_norm import group_norm
from jld.toolchain import jittor as jt
from jld.utils.distributed import mean_over_ranks

nn = jt.nn


class BatchNorm(jt.Module):
    """Batch normalisation whose statistics can be frozen while its weight and bias go on learning.

    Jittor's own layer ties both to eval mode, which stops every gradient; detectors are trained with fixed
    statistics and a learning affine part.

    Args:
        num_features: D, channels of the input.
        fixed_statistics: always normalise by the running statistics and never update them. When false,
            training mode normalises by the batch (over all ranks) and updates them.
        eps: added to the variance.
        momentum: share of the new batch in the running statistics.
    """

    def __init__(
        self, num_features: int, *, fixed_statistics: bool = True, eps: float = 1e-5, momentum: float = 0.1
    ):
        self.fixed_statistics = fixed_statistics
        self.eps, self.momentum = eps, momentum
        self.weight = jt.ones((num_features,))
        self.bias = jt.zeros((num_features,))
        self.running_mean = jt.zeros((num_features,)).stop_grad()
        self.running_var = jt.ones((num_features,)).stop_grad()

    def execute(self, x: jt.Var, *, shortcut: jt.Var | None = None, relu: bool = False) -> jt.Var:
        """Normalised [N, D, H, W], plus the shortcut of a residual block, then a ReLU where asked for.

        All of it together costs one pass over the map.
        """
        if self.fixed_statistics or not self.is_training():
            mean, var = self.running_mean, self.running_var
        else:
            mean, var = self._batch_statistics(x)
        scale = self.weight / jt.sqrt(var + self.eps)
        return channel_affine(x, scale, self.bias - mean * scale, shortcut, relu=relu)

    def _batch_statistics(self, x: jt.Var) -> tuple[jt.Var, jt.Var]:
        mean, square = mean_of_channels(x), mean_of_channels(x * x)
        mean, square = mean_over_ranks(mean), mean_over_ranks(square)
        var = (square - mean * mean).maximum(0.0)
        for running, new in ((self.running_mean, mean), (self.running_var, var)):
            # Detached, else the running value would keep the graph of every past step alive.
            running.update(running + (new.detach() - running) * self.momentum)
        return mean, var


def mean_of_channels(x: jt.Var) -> jt.Var:
    """[N, D, H, W] to [D], accumulated in double precision."""
    return total(x, (0, 2, 3)) / (x.shape[0] * x.shape[2] * x.shape[3])


class GroupNorm(jt.Module):
    """Group normalisation with a weight and a bias per channel, see `group_norm`."""

    def __init__(self, num_groups: int, num_channels: int, eps: float = 1e-5):
        if num_channels % num_groups:
            raise ValueError(f"{num_channels} channels do not divide into {num_groups} groups.")
        self.num_groups, self.eps = num_groups, eps
        self.weight = jt.ones((num_channels,))
        self.bias = jt.zeros((num_channels,))

    def execute(self, x: jt.Var, *, relu: bool = False) -> jt.Var:
        """Normalised [N, D, H, W], with a ReLU behind it when asked for: together they cost one pass."""
        return group_norm(x, self.weight, self.bias, self.num_groups, eps=self.eps, relu=relu)


class ConvModule(jt.Module):
    """Convolution, optional group normalisation, optional ReLU; parameters `conv.*` and `gn.*`.

    Args:
        num_norm_groups: groups of the normalisation; None: no normalisation.
        bias: of the convolution; None: only where no normalisation follows.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        padding: int = 0,
        num_norm_groups: int | None = None,
        bias: bool | None = None,
        relu: bool = False,
    ):
        self.conv = Conv2d(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            bias=num_norm_groups is None if bias is None else bias,
        )
        self.gn = None if num_norm_groups is None else GroupNorm(num_norm_groups, out_channels)
        self.relu = relu

    def execute(self, x: jt.Var) -> jt.Var:
        """[N, D, H, W] to [N, D', H', W']."""
        return self._normalised(self.conv(x), relu=self.relu)

    def levels(self, maps: Sequence[jt.Var], *, relu: bool | None = None) -> list[jt.Var]:
        """The same of every map of a pyramid; `relu` other than None overrules the layer's own."""
        relu = self.relu if relu is None else relu
        return [self._normalised(x, relu=relu) for x in self.conv.levels(maps)]

    def _normalised(self, x: jt.Var, *, relu: bool) -> jt.Var:
        if self.gn is not None:
            return self.gn(x, relu=relu)
        return nn.relu(x) if relu else x


class Scale(jt.Module):
    """One learnable factor, parameter `scale`."""

    def __init__(self, value: float = 1.0):
        self.scale = jt.array(float(value))

    def execute(self, x: jt.Var) -> jt.Var:
        """`x` times the factor."""
        return x * self.scale.broadcast(x)


def init_normal(layer: jt.Module, std: float = 0.01, bias: float = 0.0) -> None:
    """Weight from N(0, std), bias constant; of a convolution or a linear layer."""
    layer.weight = jt.randn(*layer.weight.shape) * std
    if layer.bias is not None:
        layer.bias = jt.full(layer.bias.shape, bias)


def init_xavier_uniform(layer: jt.Module) -> None:
    """Weight uniform in +-sqrt(6 / (fan_in + fan_out)), bias zero; of a convolution or a linear layer."""
    outputs, inputs, *kernel = layer.weight.shape
    _init_uniform(layer, math.sqrt(6.0 / ((inputs + outputs) * math.prod(kernel))))


def init_c2_xavier(layer: jt.Module) -> None:
    """Weight uniform in +-sqrt(3 / fan_in), Caffe2's "xavier"; bias zero."""
    _init_uniform(layer, math.sqrt(3.0 / math.prod(layer.weight.shape[1:])))


# By the fan-in and the fan-out (mmDetection), or by the fan-in alone (detectron2, cvpods).
XAVIERS = {"xavier": init_xavier_uniform, "c2_xavier": init_c2_xavier}


def _init_uniform(layer: jt.Module, bound: float) -> None:
    layer.weight = (jt.rand(*layer.weight.shape) * 2.0 - 1.0) * bound
    if layer.bias is not None:
        layer.bias = jt.zeros(layer.bias.shape)


def init_kaiming_normal(conv: jt.Module) -> None:
    """Weight from N(0, 2 / fan_out), as residual networks want it; bias zero."""
    out_channels, _, height, width = conv.weight.shape
    conv.weight = jt.randn(*conv.weight.shape) * math.sqrt(2.0 / (out_channels * height * width))
    if conv.bias is not None:
        conv.bias = jt.zeros(conv.bias.shape)


def prior_probability_bias(probability: float) -> float:
    """The logit of a probability: the initial bias that makes every class score start there."""
    return -math.log((1.0 - probability) / probability)
