"""Which share of the speed of this machine's matrix products a step or an image reaches."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import Any
from unittest import mock

import numpy as np

from jld.models.heads.mask_head import Doubled
from jld.ops.conv2d import Conv2d
from jld.toolchain import jittor as jt
from projects.benchmark.alternate import Sides
from projects.benchmark.clock import Timing, measure
from projects.benchmark.peer import PRODUCT, TORCH, TorchPeer, product_side

REPETITIONS = 8
EVERY_AXIS = slice(None)
# {layer: the axes of its weight, outputs first, the others those that a number of its result is a sum over}.
# `Doubled` has inputs and outputs in front, and reads a single cell of every input.
COUNTED_LAYERS: dict[type, slice] = {
    Conv2d: EVERY_AXIS,
    jt.nn.Linear: EVERY_AXIS,
    Doubled: slice(1, None, -1),
}


@dataclass(frozen=True)
class Operations:
    """Multiplications and additions of convolutions and linear layers as they are defined, not as computed.

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

    with ExitStack() as stack:
        for kind, weight_axes in COUNTED_LAYERS.items():
            layer = counting(kind.execute, weight_axes)
            stack.enter_context(mock.patch.object(kind, "execute", layer))
        stack.enter_context(jt.no_grad())
        network()
    return Operations(sum(every), sum(trained))


def peak_facts(
    what: str, operations: float, counted: str, sides: Sides, peers: Mapping[str, TorchPeer]
) -> dict[str, Any]:
    """The machine's peak, measured now, and the share of it that every side reaches.

    Args:
        what: row whose times are divided.
        operations: of it.
        counted: which those are, in words.
        sides: {side: {row: Timing}}.
        peers: whose matrix product competes for the peak.
    """
    products = {"Jittor" if jt.flags.use_cuda else "NumPy": _product()}
    if TORCH in peers:
        products[TORCH] = peers[TORCH].times(PRODUCT, REPETITIONS)[PRODUCT]
    side = product_side()
    name = min(products, key=lambda name: min(products[name].milliseconds))
    # The best of all repetitions: other work on the machine only ever takes away.
    best_ms = min(products[name].milliseconds)
    best_cpu_ms = min(min(timing.cpu_milliseconds) for timing in products.values())
    peak, cpu_peak = (2 * side**3 / ms / 1e6 for ms in (best_ms, best_cpu_ms))
    facts: dict[str, Any] = {
        f"peak ({side} x {side} float32 product, {name}), GFLOP/s": peak,
        f"operations of one {what}, GFLOP": operations / 1e9,
    }
    for rival, timings in sides.items():
        if what in timings:
            facts[f"share of the peak, {rival}, %"] = 100 * operations / timings[what].median / 1e6 / peak
            if not jt.flags.use_cuda:
                share = 100 * operations / timings[what].cpu_median / 1e6 / cpu_peak
                facts[f"the same in CPU time, {rival}, %"] = share
    return facts | {"operations counted": counted}


def _product() -> Timing:
    rng, side = np.random.default_rng(0), product_side()
    a = rng.random((side, side), np.float32)
    if jt.flags.use_cuda:
        a = jt.array(a)
    return measure(lambda: a @ a, REPETITIONS, 1)
