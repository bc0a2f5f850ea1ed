"""Which share of the speed of this machine's matrix products a step or an image reaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from jld.toolchain import jittor as jt
from projects.benchmark.alternate import Sides
from projects.benchmark.clock import Timing, measure
from projects.benchmark.peer import PRODUCT, TORCH, TorchPeer, product_side

REPETITIONS = 8


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
