"""Weights and gradients of golden cases under detectron2's names, for modules under ours."""

from __future__ import annotations

import numpy as np

from jld.checkpoint import convert_state
from jld.toolchain import jittor as jt
from tests.golden_cases import fill
from tests.models.golden_models import assert_sampled


def weights_of(meta: dict, tag: str) -> dict[str, np.ndarray]:
    """All weights of one tag of a case."""
    prefix = f"w/{tag}/"
    made = {
        name.removeprefix(prefix): fill.generate(spec)
        for name, spec in meta["generated"].items()
        if name.startswith(prefix)
    }
    return fill.state_dict(meta, tag) | made


def fill_weights(
    module: jt.Module, prefix: str, state: dict, origin: str = "detectron2"
) -> dict[str, jt.Var]:
    """Lays weights over a module of ours, whose names follow `prefix`; nothing may be missing or left over.

    Returns the module's parameters and buffers by their names with the prefix.
    """
    own = {prefix + name: var for name, var in module.state_dict().items()}
    converted, report = convert_state(state, {name: var.shape for name, var in own.items()}, origin)
    assert report.is_complete, report.text()
    for name, values in converted.items():
        own[name].assign(jt.array(values))
    return own


def assert_gradients(meta: dict, arrays: dict, names: list, gradients: list, key: str, rtol: float = 3e-3):
    """Norms of all, samples of those that are stored; what cancels is compared with the largest norm.

    A ReLU whose input is nearly 0 may be open in one framework only, which moves single entries.
    """
    assert sorted(names) == sorted(meta[f"grad_names{key}"])
    norms = dict(zip(meta[f"grad_names{key}"], arrays[f"grad_norms{key}"], strict=True))
    floor = 1e-6 * max(norms.values())
    for name, gradient in zip(names, gradients, strict=True):
        norm = np.linalg.norm(gradient.astype(np.float64))
        np.testing.assert_allclose(norm, norms[name], rtol=rtol, atol=floor, err_msg=name)
        if f"grad{key}/{name}" in meta["sampled"] and norms[name] > floor:
            assert_sampled(meta, arrays, f"grad{key}/{name}", gradient, rtol)
