"""Expectations of predicted distributions, what a box is decoded from."""

from __future__ import annotations

import numpy as np

from jld.toolchain import jittor as jt


def expected_bins(box_logits: jt.Var) -> jt.Var:
    """Expectation of the bin value 0 ... B - 1 under the softmax: [..., B] to [...].

    Source: arXiv:2006.04388, equation 5 of section 3.2 (the integral of the general distribution).
    """
    return _expectation(box_logits, jt.arange(box_logits.shape[-1]).float32())


def expected_values(box_logits: jt.Var, supports: np.ndarray) -> jt.Var:
    """`expected_bins` where every row of bins has values of its own.

    Args:
        box_logits: [..., R, B] before the softmax.
        supports: [R, B] values of the bins, see `support_values`.
    Returns:
        [..., R] in the unit of the supports.
    Source: arXiv:2204.05957, the rotated heads.
    """
    return _expectation(box_logits, jt.array(supports))


def _expectation(box_logits, values):
    return (jt.nn.softmax(box_logits, dim=-1) * values).sum(-1)
