"""What terms on feature maps share: region weights per cell, adapters per level, the error inside a mask.

The functions take maps and masks of any source (pyramid levels, RoI crops) and know no detector; `adapters`
is told the widths.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from jld.losses.reduction import total
from jld.models.layers import init_normal
from jld.ops.conv2d import Conv2d
from jld.toolchain import jittor as jt

DIVISORS = ("values", "cells")


def cell_weights(weights, priors, level: int):
    """[N, H, W] of one level: the largest weight that any prior of the cell has in [N, P]."""
    height, width = priors.level_sizes[level]
    per_cell = weights[:, priors.level_slices[level]].reshape(-1, height, width, priors.num_per_cell)
    return per_cell.max(3) if priors.num_per_cell > 1 else per_cell.squeeze(3)


def shared_levels(student: Any, teacher: Any) -> list[int]:
    """The student's levels whose stride the teacher's pyramid has too."""
    given = teacher.bbox_head.priors.strides
    return [level for level, stride in enumerate(student.bbox_head.priors.strides) if stride in given]


def conv_adapters(
    levels: Iterable[int], student_channels: int, teacher_channels: int, kernel: int, std: float | None = None
) -> dict[int, jt.Module]:
    """{level: convolution from the student's to the teacher's width}, each with weights of its own.

    Args:
        kernel: odd.
        std: spread of the initial weights, bias 0; None: the layer's usual initial values.
    """
    adapters = {
        level: Conv2d(student_channels, teacher_channels, kernel, padding=kernel // 2) for level in levels
    }
    if std is not None:
        for conv in adapters.values():
            init_normal(conv, std)
    return adapters


def masked_squared_error(student_map, teacher_map, mask, divisor: str = "values"):
    """Half of the mean squared difference inside a mask: sum M (S - T)^2 / max(1, 2 C sum M).

    Args:
        student_map, teacher_map: [N, D, H, W] of one width; no gradient flows into the teacher's.
        mask: [N, H, W].
        divisor: `values` as above; `cells` without the channels C in the divisor.
    Returns:
        Scalar Var; 0 where the mask is empty.
    Source: arXiv:1906.03609 (cells); ggjy/DeFeat.pytorch (values).
    """
    difference = student_map - teacher_map.stop_grad()
    error = total((difference * difference).sum(1) * mask)
    channels = student_map.shape[1] if divisor == "values" else 1
    return error / (2.0 * channels * mask.sum()).maximum(1.0)


def mean_of(values: Sequence[Any]) -> Any:
    """Mean of scalar Vars, one per level."""
    return sum(values[1:], values[0]) / len(values)
