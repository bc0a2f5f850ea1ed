"""What heads share that predict box sides as distributions over bins; the layout of dense predictions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jld.boxes.distances import distance2bbox
from jld.errors import ConfigError
from jld.models.layers import ConvModule, init_normal
from jld.ops.expectation import expected_bins
from jld.toolchain import jittor as jt

nn = jt.nn


def conv_tower(
    in_channels: int, channels: int, depth: int, num_norm_groups: int | None, *, bias: bool | None = None
) -> nn.Sequential:
    """`depth` times 3x3 convolution, group normalisation and ReLU; weights from N(0, 0.01).

    Args:
        num_norm_groups, bias: see `ConvModule`.
    """
    tower = nn.Sequential()
    for index in range(depth):
        layer = ConvModule(
            in_channels if index == 0 else channels,
            channels,
            3,
            padding=1,
            num_norm_groups=num_norm_groups,
            bias=bias,
            relu=True,
        )
        init_normal(layer.conv)
        tower.append(layer)
    return tower


def flatten_levels(maps: Sequence[jt.Var], *, per_prior: Sequence[int]) -> jt.Var:
    """Maps of all levels as one array with a row per prior.

    Args:
        maps: [N, A * prod(per_prior), H_l, W_l], A priors per cell outermost in the channels.
        per_prior: trailing shape of one prior's prediction, for example (C,) or (4, B).
    Returns:
        [N, P, *per_prior] in the order of `Priors`.
    """
    size = math.prod(per_prior)
    # Three axes for every prediction: all share the kernels of the concatenation.
    rows = [x.permute(0, 2, 3, 1).reshape((x.shape[0], -1, size)) for x in maps]  # [N, H * W * A, size]
    return jt.concat(rows, dim=1).reshape((maps[0].shape[0], -1, *per_prior))


def targets_or_priors(prior_boxes: jt.Var, assignment: Any) -> jt.Var:
    """The box every prior should predict: the assigned one, and the prior itself where there is none.

    A stand-in keeps overlaps and logarithms finite there; an empty box would put 0 / 0 or log 0 under a
    weight of zero, which does not take it away.

    Args:
        prior_boxes: [P, 4] corners, or [P, 5] rotated boxes.
        assignment: Assignment of these priors.
    Returns:
        [N, P, 4 or 5] in the unit of the priors, without gradient.
    """
    positive = assignment.positive_mask.unsqueeze(-1)
    return (assignment.target_boxes * positive + prior_boxes * (1.0 - positive)).stop_grad()


def support_values(ranges: Sequence[Sequence[float]], num_bins: int) -> np.ndarray:
    """Equally spaced bin values, a row per range.

    Args:
        ranges: R pairs (first value, last value).
        num_bins: B, at least 2.
    Returns:
        [R, B] as a NumPy array: a Var kept by a module would count as one of its parameters.
    Raises:
        ConfigError: a last value is not above its first, or there are fewer than two bins.
    """
    if num_bins < 2:
        raise ConfigError(
            f"a distribution over {num_bins} values has no expectation to learn: use 2 or more."
        )
    for first, last in ranges:
        if not last > first:
            raise ConfigError(
                f"the bin values from {first} to {last} have no width: put the smaller one first."
            )
    return np.stack([np.linspace(first, last, num_bins, dtype=np.float32) for first, last in ranges])


def decode_distributions(box_logits: jt.Var, centers: jt.Var, strides: jt.Var) -> jt.Var:
    """Corner boxes from side distributions.

    Args:
        box_logits: [..., P, 4, B] sides left, top, right, bottom, one bin per stride.
        centers: [P, 2] or [..., P, 2] in px.
        strides: [P] or [..., P] px.
    Returns:
        [..., P, 4] corners in px.
    """
    return distance2bbox(centers, expected_bins(box_logits) * strides.unsqueeze(-1))
