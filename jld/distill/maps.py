"""What terms on feature maps share: region weights per cell, levels both networks have, errors inside a mask.

The functions take maps and masks of any source (pyramid levels, RoI crops) and know no detector.
"""

from __future__ import annotations

from collections.abc import Sequence

from jld.boxes.places import GridPlaces
from jld.errors import ConfigError
from jld.losses.reduction import total
from jld.losses.regression import squared_error
from jld.models.interface import Interface
from jld.toolchain import jittor as jt

DIVISORS = ("values", "cells")
# Floor of a channel's deviation.
SMALLEST_DEVIATION = 1e-6


def cell_weights(weights: jt.Var, places: GridPlaces, level: int) -> jt.Var:
    """[N, H, W] of one level: the largest weight that any prior of the cell has in [N, P]."""
    height, width = places.level_sizes[level]
    per_cell = weights[:, places.level_slices[level]].reshape(-1, height, width, places.num_per_cell)
    return per_cell.max(3) if places.num_per_cell > 1 else per_cell.squeeze(3)


def shared_levels(student: Interface, teacher: Interface) -> list[int]:
    """The student's levels whose stride the teacher's pyramid has too."""
    return [level for level, stride in enumerate(student.strides) if stride in teacher.strides]


def checked_levels(kind: str, levels: Sequence[int] | None) -> tuple[int, ...] | None:
    """The levels that a config names, None for all.

    Raises:
        ConfigError: there are none, in the name of a term of this kind.
    """
    if levels is not None and not levels:
        raise ConfigError(f"{kind}: levels is empty: name levels, 0 is the finest, or None for all.")
    return None if levels is None else tuple(levels)


def masked_squared_error(
    student_map: jt.Var, teacher_map: jt.Var, mask: jt.Var, divisor: str = "values"
) -> jt.Var:
    """Half of the mean squared difference inside a mask: sum M (S - T)^2 / max(1, 2 C sum M).

    Args:
        student_map, teacher_map: [N, D, H, W] of one width; no gradient flows into the teacher's.
        mask: [N, H, W].
        divisor: `values` as above; `cells` without the channels C in the divisor.
    Returns:
        Scalar Var; 0 where the mask is empty.
    Source: arXiv:1906.03609 (cells); ggjy/DeFeat.pytorch (values).
    """
    error = total(squared_error(student_map, teacher_map.detach()).sum(1) * mask)
    channels = student_map.shape[1] if divisor == "values" else 1
    return error / (2.0 * channels * mask.sum()).maximum(1.0)


def channel_statistics(maps: jt.Var) -> tuple[jt.Var, jt.Var]:
    """Mean and deviation (divisor n - 1) of every channel of [N, D, H, W] over n = N H W values, both [D].

    The deviation has a floor of 1e-6 with slope 0: a constant channel has no direction to learn, and the
    root's slope at 0 is infinite. A map of one cell and one image has n = 1 and counts as constant.
    """
    count = maps.shape[0] * maps.shape[2] * maps.shape[3]
    mean = total(maps, (0, 2, 3)) / count
    spread = squared_error(maps, mean.broadcast(maps, [0, 2, 3]))
    variance = total(spread, (0, 2, 3)) / max(count - 1, 1)
    return mean, jt.sqrt(variance.maximum(SMALLEST_DEVIATION**2))


def standardised(maps: jt.Var) -> jt.Var:
    """[N, D, H, W] with mean 0 and deviation 1 (divisor n - 1, plus 1e-6) in each channel of the batch.

    A channel without spread becomes 0, without gradient: divided by 1e-6 it would drown all others.
    """
    mean, deviation = channel_statistics(maps)
    factor = (deviation > 2 * SMALLEST_DEVIATION).float32() / (deviation + 1e-6)
    return (maps - mean.broadcast(maps, [0, 2, 3])) * factor.broadcast(maps, [0, 2, 3])


def spatial_attention(features: jt.Var, temperature: float) -> jt.Var:
    """[N, H, W] H W softmax over the places of the mean magnitude over channels, of maps [N, D, H, W]."""
    n, _, h, w = features.shape
    energy = jt.abs(features).mean(1).reshape(n, h * w) / temperature
    return (jt.nn.softmax(energy, dim=1) * (h * w)).reshape(n, h, w)


def channel_attention(features: jt.Var, temperature: float) -> jt.Var:
    """[N, D] D softmax over the channels of the mean magnitude over places, of maps [N, D, H, W]."""
    energy = jt.abs(features).mean([2, 3]) / temperature
    return jt.nn.softmax(energy, dim=1) * features.shape[1]


def mean_of(values: Sequence[jt.Var]) -> jt.Var:
    """Mean of scalar Vars, one per level."""
    return sum(values[1:], values[0]) / len(values)
