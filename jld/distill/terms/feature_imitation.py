"""Feature imitation: the student's feature maps copy the teacher's inside a region.

One term for the whole family; what distinguishes FitNets, imitation inside the boxes, of the positives, of
the fine-grained mask or of general instances is the region's name.
"""

from __future__ import annotations

from typing import Any

from jld.distill.context import StepContext
from jld.distill.reduction import level_membership
from jld.distill.terms.base import RegionTerm
from jld.errors import ConfigError
from jld.ops.conv2d import Conv2d
from jld.registry import TERMS
from jld.toolchain import jittor as jt

ADAPTER_KERNELS = {"1x1": 1, "3x3": 3}


@TERMS.register
class FeatureImitation(RegionTerm):
    """Mean squared difference of student and teacher feature maps inside a region.

    Reads `features`, the neck's maps [N, D, H_l, W_l], whose cells are the priors' cells; where a cell has
    several priors it counts when any of them is in the region.

    Args:
        region: `all` is FitNets, `inside_gt`, `main`, `fine_grained` and `gi` the other rows of the LD table.
        weight: factor of the scalar, 2.0 in the released configs.
        reduction: `per_level_mean` (released: mean over the region's cells of each level, then added) or any
            other of `reduce_over_region`; values are means over the D channels.
        weighting: `uniform`, or `iou` for a soft region.
        needs_positives: a level without any positive contributes nothing, as in the released code.
        adapter: None, "1x1" or "3x3": a convolution on the student's maps, trained with it and never saved;
            needed where the widths differ.
        student_channels, teacher_channels: D of the two necks, needed with an adapter.
    Raises:
        ConfigError: unknown adapter, or an adapter without channel counts.
    Source: arXiv:1412.6550 (FitNets); HikariTJU/LD mmdet/models/losses/kd_loss.py (IMLoss).
    """

    kind = "im"
    reads_features = True

    def __init__(
        self,
        region: str = "main",
        weight: float = 2.0,
        *,
        weighting: str = "uniform",
        reduction: str = "per_level_mean",
        needs_positives: bool = False,
        adapter: str | None = None,
        student_channels: int | None = None,
        teacher_channels: int | None = None,
        name: str | None = None,
    ):
        super().__init__(region, weight, 1.0, weighting, reduction, name)
        self.needs_positives = needs_positives
        self.channels = (student_channels, teacher_channels)
        self.adapter = None
        if adapter is not None:
            self.adapter = _make_adapter(adapter, student_channels, teacher_channels)

    def bind(self, student: Any, teacher: Any) -> list[str]:
        """See `Term`; the maps must be of equal width, or the adapter must fit them."""
        own, given = student.feature_channels, teacher.feature_channels
        if self.adapter is None and own != given:
            return [
                f"FeatureImitation: the student's maps have {own} channels, the teacher's {given}: add "
                f"adapter='1x1', student_channels={own}, teacher_channels={given}"
            ]
        if self.adapter is not None and self.channels != (own, given):
            return [
                f"FeatureImitation: the adapter goes from {self.channels[0]} to {self.channels[1]} channels, "
                f"but the student's maps have {own} and the teacher's {given}"
            ]
        return []

    def parameters(self) -> list:
        """The adapter's weight and bias."""
        return [] if self.adapter is None else self.adapter.parameters()

    def __call__(self, context: StepContext):
        """Scalar Var, `weight` not yet applied."""
        weights = once_per_cell(context.region(self.region), context.priors.num_per_cell)
        weights = weights * levels_compared(context)
        if self.needs_positives:
            weights = weights * levels_with_positives(context)
        return self.reduce(context, weights)

    def divergence(self, context: StepContext):
        """[N, P] squared difference, mean over channels; the priors of one cell share their cell's value.

        Zero on levels of a stride that the teacher lacks.
        """
        columns = [jt.zeros((x.shape[0], x.shape[2] * x.shape[3])) for x in context.student.features]
        for level, student, teacher in context.feature_levels():
            student = student if self.adapter is None else self.adapter(student)
            difference = student - teacher.stop_grad()
            columns[level] = (difference * difference).mean(dim=1).reshape(columns[level].shape)  # [N, H * W]
        values = jt.concat(columns, dim=1)  # [N, cells]
        per_cell = context.priors.num_per_cell
        return (
            values
            if per_cell == 1
            else values.unsqueeze(2).repeat(1, 1, per_cell).reshape(values.shape[0], -1)
        )


def _make_adapter(adapter: str, student_channels: int | None, teacher_channels: int | None):
    if adapter not in ADAPTER_KERNELS:
        raise ConfigError(f"FeatureImitation: adapter is {adapter!r}, it must be None, '1x1' or '3x3'.")
    if student_channels is None or teacher_channels is None:
        raise ConfigError("FeatureImitation: an adapter needs student_channels and teacher_channels.")
    kernel = ADAPTER_KERNELS[adapter]
    return Conv2d(student_channels, teacher_channels, kernel, padding=kernel // 2)


def once_per_cell(weights, num_per_cell: int):
    """[N, P] the largest weight of each cell at its first prior and 0 at the others."""
    if num_per_cell == 1:
        return weights
    n, p = weights.shape
    largest = weights.reshape(n, -1, num_per_cell).max(dim=2).unsqueeze(2)  # [N, cells, 1]
    return (largest * (jt.arange(num_per_cell) == 0).float32()).reshape(n, p)


def levels_compared(context: StepContext) -> Any:
    """[P] 1 for the priors of every stride that the teacher has too; the number 1 where it has all."""
    levels = {level for level, _, _ in context.feature_levels()}
    sections = context.priors.level_slices
    if len(levels) == len(sections):
        return 1.0
    return jt.concat(
        [jt.full((part.stop - part.start,), float(level in levels)) for level, part in enumerate(sections)]
    )


def levels_with_positives(context: StepContext):
    """[1, P] 1 for the priors of every level that holds a positive of any image."""
    membership = level_membership(context.priors)  # [P, L]
    counts = jt.matmul(context.assignment.positive_mask.sum(0, keepdims=True), membership)  # [1, L]
    return jt.matmul((counts > 0).float32(), membership.transpose(1, 0))
