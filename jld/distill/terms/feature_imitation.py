"""Feature imitation: the student's feature maps copy the teacher's inside a region.

One term for the whole family; what distinguishes FitNets, imitation inside the boxes, of the positives, of
the fine-grained mask or of general instances is the region's name.
"""

from __future__ import annotations

from jld.boxes.places import on_grid
from jld.distill.adapters import ConvAdapters
from jld.distill.context import StepContext
from jld.distill.reduction import levels_with_positives
from jld.distill.terms.base import RegionName, RegionTerm
from jld.losses.regression import squared_error
from jld.models.interface import Interface
from jld.registry import TERMS
from jld.toolchain import jittor as jt


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
        adapter: None, "1x1" or "3x3": a convolution on the student's maps, one for all levels; needed where
            the widths differ.
        student_channels, teacher_channels: D of the two necks; known anyway, compared where given.
    Raises:
        ConfigError: unknown adapter.
    Source: arXiv:1412.6550 (FitNets); HikariTJU/LD mmdet/models/losses/kd_loss.py (IMLoss).
    """

    kind = "im"
    reads_features = True

    def __init__(
        self,
        region: RegionName = "main",
        weight: float = 2.0,
        *,
        weighting: str = "uniform",
        reduction: str = "per_level_mean",
        needs_positives: bool = False,
        adapter: str | int | None = None,
        student_channels: int | None = None,
        teacher_channels: int | None = None,
        name: str | None = None,
    ):
        adapters = ConvAdapters(adapter, per_level=False)
        super().__init__(region, weight, 1.0, weighting, reduction, name, adapters=adapters)
        self.needs_positives = needs_positives
        self.channels = (student_channels, teacher_channels)

    def check(self, student: Interface, teacher: Interface) -> list[str]:
        """See `Term`."""
        sides = zip(("student", "teacher"), self.channels, (student.channels, teacher.channels), strict=True)
        return super().check(student, teacher) + [
            f"FeatureImitation: {side}_channels is {stated}, but the {side}'s maps have {found} channels"
            for side, stated, found in sides
            if stated not in (None, found)
        ]

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        weights = once_per_cell(context.region(self.region), on_grid(context.places).num_per_cell)
        weights = weights * levels_compared(context)
        if self.needs_positives:
            weights = weights * levels_with_positives(context)
        return self.reduce(context, weights)

    def divergence(self, context: StepContext) -> jt.Var:
        """[N, P] squared difference, mean over channels; the priors of one cell share their cell's value.

        Zero on levels of a stride that the teacher lacks.
        """
        columns = [jt.zeros((x.shape[0], x.shape[2] * x.shape[3])) for x in context.step.features]
        for level, student, teacher in context.feature_levels():
            difference = squared_error(self.adapters(level, student), teacher)
            columns[level] = difference.mean(dim=1).reshape(columns[level].shape)  # [N, H * W]
        values = jt.concat(columns, dim=1)  # [N, cells]
        per_cell = on_grid(context.places).num_per_cell
        return (
            values
            if per_cell == 1
            else values.unsqueeze(2).repeat(1, 1, per_cell).reshape(values.shape[0], -1)
        )


def once_per_cell(weights: jt.Var, num_per_cell: int) -> jt.Var:
    """[N, P] the largest weight of each cell at its first prior and 0 at the others."""
    if num_per_cell == 1:
        return weights
    n, p = weights.shape
    largest = weights.reshape(n, -1, num_per_cell).max(dim=2).unsqueeze(2)  # [N, cells, 1]
    return (largest * (jt.arange(num_per_cell) == 0).float32()).reshape(n, p)


def levels_compared(context: StepContext) -> jt.Var | float:
    """[P] 1 for the priors of every stride that the teacher has too; the number 1 where it has all."""
    levels = {level for level, _, _ in context.feature_levels()}
    sections = on_grid(context.places).level_slices
    if len(levels) == len(sections):
        return 1.0
    return jt.concat(
        [jt.full((part.stop - part.start,), float(level in levels)) for level, part in enumerate(sections)]
    )
