"""What heads share that predict box sides as distributions over bins; the layout of dense predictions."""

from __future__ import annotations

from collections.abc import Sequence

from jld.boxes.distances import distance2bbox
from jld.models.layers import ConvModule, init_normal
from jld.toolchain import jittor as jt

nn = jt.nn


def conv_tower(in_channels: int, channels: int, depth: int, num_norm_groups: int | None) -> nn.Sequential:
    """`depth` times 3x3 convolution, group normalisation and ReLU; weights from N(0, 0.01)."""
    tower = nn.Sequential()
    for index in range(depth):
        layer = ConvModule(
            in_channels if index == 0 else channels,
            channels,
            3,
            padding=1,
            num_norm_groups=num_norm_groups,
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
    rows = []
    for x in maps:
        rows.append(x.permute(0, 2, 3, 1).reshape((x.shape[0], -1, *per_prior)))  # [N, H * W * A, ...]
    return jt.concat(rows, dim=1)


def expected_bins(box_logits: jt.Var) -> jt.Var:
    """Expectation of the bin value 0 ... B - 1 under the softmax: [..., B] to [...].

    Source: arXiv:2006.04388, equation 5 of section 3.2 (the integral of the general distribution).
    """
    bins = jt.arange(box_logits.shape[-1]).float32()
    return (nn.softmax(box_logits, dim=-1) * bins).sum(-1)


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
