"""How much a network computes: multiplications and additions of its layers, counted without computing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import Any
from unittest import mock

import jld.models.backbones.swin
from jld.models.heads.mask_head import Doubled
from jld.ops.conv2d import Conv2d
from jld.ops.deform_conv import DeformConv
from jld.toolchain import jittor as jt

EVERY_AXIS = slice(None)
# {layer: the axes of its weight, outputs first, the others those that a number of its result is a sum over}.
# `Doubled` has inputs and outputs in front, and reads a single cell of every input.
COUNTED_LAYERS: dict[Any, slice] = {
    Conv2d: EVERY_AXIS,
    DeformConv: EVERY_AXIS,
    jt.nn.Linear: EVERY_AXIS,
    Doubled: slice(1, None, -1),
}


@dataclass(frozen=True)
class Operations:
    """Multiplications and additions of convolutions, linear layers and attention, by definition.

    Attributes:
        forward: of all layers.
        trained: of those whose weights learn.
    """

    forward: float
    trained: float

    @property
    def step(self) -> float:
        """Forward, and backward twice that where weights learn: gradients of the map and of the weights."""
        return self.forward + 2 * self.trained


def convolution_operations(outputs: Sequence[int], weight: Sequence[int]) -> float:
    """Multiplications and additions of a convolution.

    Args:
        outputs: shape [N, O, H', W'] of its result.
        weight: shape [O, I / groups, h, w].
    """
    return 2.0 * prod(outputs) * prod(weight[1:])


def count_operations(network: Callable[[], Any]) -> Operations:
    """What these layers do in one call of `network`; nothing is computed, shapes suffice."""
    every, trained = [], []

    def counting(execute: Callable, weight_axes: slice) -> Callable:
        def counted(layer: Any, *args: Any, **options: Any) -> jt.Var:
            y = execute(layer, *args, **options)
            every.append(convolution_operations(y.shape, layer.weight.shape[weight_axes]))
            if not layer.weight.is_stop_grad():
                trained.append(every[-1])
            return y

        return counted

    def attention(qkv: jt.Var, *rest: Any) -> jt.Var:
        y = attend(qkv, *rest)
        every.append(4.0 * prod(y.shape) * y.shape[1])  # of every token with every other, twice
        return y

    swin = jld.models.backbones.swin
    attend = swin.window_attention
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(swin, "window_attention", attention))
        for kind, weight_axes in COUNTED_LAYERS.items():
            layer = counting(kind.execute, weight_axes)
            stack.enter_context(mock.patch.object(kind, "execute", layer))
        stack.enter_context(mock.patch.object(Conv2d, "levels", Conv2d.one_by_one))
        stack.enter_context(jt.no_grad())
        network()
    return Operations(sum(every), sum(trained))
