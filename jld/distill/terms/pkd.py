"""PKD: feature maps copy the teacher's up to scale and shift of every channel, by Pearson correlation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jld.distill.adapters import ConvAdapters
from jld.distill.context import StepContext
from jld.distill.maps import standardised
from jld.distill.terms.base import Term
from jld.errors import one_of
from jld.losses.reduction import total
from jld.losses.regression import squared_error
from jld.models.interface import Interface
from jld.registry import TERMS
from jld.toolchain import jittor as jt

PAIRS = ("stride", "index")


def correlation_loss(student_map: jt.Var, teacher_map: jt.Var) -> jt.Var:
    """Half of the mean squared difference of two maps, each standardised per channel.

    With r the Pearson correlation of a channel over its n values this is (n - 1) / n times the mean of 1 - r.

    Args:
        student_map, teacher_map: [N, D, H, W] of one shape; no gradient flows into the teacher's.
    Returns:
        Scalar Var in [0, 2].
    Source: arXiv:2207.02039, equations 2 to 4.
    """
    difference = squared_error(standardised(student_map), standardised(teacher_map.detach()))
    return 0.5 * total(difference) / difference.numel()


@TERMS.register
class PKD(Term):
    """Pearson correlation distillation: L = sum over levels of `correlation_loss`. Reads `features`.

    The published setting needs no adapter and no mask, whatever the teacher's head; statistics are those of
    the batch, padding included. The weight fixes the scale: each level contributes at most 2.

    Args:
        weight: 6 for GFL and for two-stage detectors, 10 for RetinaNet in the released configs; beside
            CrossKD 6 for GFL, 2 for RetinaNet and FCOS, 1 for ATSS.
        levels: numbers of the student's levels that are compared, 0 is the finest; None: all.
        pair: the teacher's level of equal `stride`, or the one of equal `index`, as released; then the
            student's map is resized to the teacher's.
        adapter: None, "1x1" or "3x3": a convolution per level on the student's maps; needed where the widths
            differ.
        name: key in the loss dict.
    Raises:
        ConfigError: unknown `pair`, or no level to compare.
    Source: arXiv:2207.02039; open-mmlab/mmrazor (PKDLoss).
    Differs: a channel without any spread gives a gradient of 0 instead of NaN.
    """

    reads_features = True

    def __init__(
        self,
        weight: float = 6.0,
        *,
        levels: Sequence[int] | None = None,
        pair: str = "stride",
        adapter: str | int | None = None,
        name: str = "loss_pkd",
    ):
        one_of(pair, PAIRS, f"PKD: unknown pair {pair!r}")
        super().__init__(weight, name, adapters=ConvAdapters(adapter, bias=False), levels=levels)
        self.pair = pair
        # Levels of equal number may have no stride in common.
        self.reads_features = pair == "stride"

    def partnered(self, student: Interface, teacher: Interface) -> list[int]:
        """See `Term`."""
        if self.pair == "stride":
            return super().partnered(student, teacher)
        return list(range(min(len(student.strides), len(teacher.strides))))

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        losses = []
        for level, student, teacher in self._levels(context):
            if self.levels is not None and level not in self.levels:
                continue
            student = self.adapters(level, student)
            if student.shape[2:] != teacher.shape[2:]:
                student = jt.nn.interpolate(student, size=tuple(teacher.shape[2:]), mode="bilinear")
            losses.append(correlation_loss(student, teacher))
        return sum(losses[1:], losses[0])

    def _levels(self, context: StepContext) -> Iterator[tuple[int, jt.Var, jt.Var]]:
        if self.pair == "stride":
            yield from context.feature_levels()
            return
        pairs = zip(context.step.features, context.teacher_trace.features, strict=False)
        for level, (student, teacher) in enumerate(pairs):
            yield level, student, teacher.detach()
