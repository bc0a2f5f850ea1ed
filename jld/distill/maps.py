"""What terms on feature maps share: region weights per cell, levels both networks have, errors inside a mask.

The functions take maps and masks of any source (pyramid levels, RoI crops) and know no detector.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jld.losses.reduction import total
from jld.losses.regression import squared_error
from jld.models.interface import Interface

DIVISORS = ("values", "cells")


def cell_weights(weights: Any, places: Any, level: int) -> Any:
    """[N, H, W] of one level: the largest weight that any prior of the cell has in [N, P]."""
    height, width = places.level_sizes[level]
    per_cell = weights[:, places.level_slices[level]].reshape(-1, height, width, places.num_per_cell)
    return per_cell.max(3) if places.num_per_cell > 1 else per_cell.squeeze(3)


def shared_levels(student: Interface, teacher: Interface) -> list[int]:
    """The student's levels whose stride the teacher's pyramid has too."""
    return [level for level, stride in enumerate(student.strides) if stride in teacher.strides]


def masked_squared_error(student_map: Any, teacher_map: Any, mask: Any, divisor: str = "values") -> Any:
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


def mean_of(values: Sequence[Any]) -> Any:
    """Mean of scalar Vars, one per level."""
    return sum(values[1:], values[0]) / len(values)
