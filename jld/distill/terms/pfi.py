"""PFI: imitation of feature cells, weighed by how far the two networks' predictions are apart."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jld.distill.context import StepContext
from jld.distill.maps import cell_weights, conv_adapters, mean_of, shared_levels
from jld.distill.terms.base import Term
from jld.errors import ConfigError, suggestion
from jld.registry import TERMS
from jld.toolchain import jittor as jt

SCORES: dict[str, Callable] = {"logits": lambda logits: logits, "probabilities": jt.sigmoid}


def guided_error(student_map, teacher_map, gap, mask):
    """Mean over the cells of a mask of the prediction gap times the mean squared feature difference.

    Args:
        student_map, teacher_map: [N, D, H, W] of one width; no gradient flows into the teacher's.
        gap: [N, H, W] how far the predictions of a cell are apart.
        mask: [N, H, W] 1 or 0.
    Returns:
        Scalar Var; 0 where the mask is empty.
    """
    difference = student_map - teacher_map.stop_grad()
    product = gap * (difference * difference).mean(1)
    return (product * mask).sum() / mask.sum().maximum(1.0)


@TERMS.register
class PFI(Term):
    """Prediction-guided feature imitation: features count where the class predictions differ.

    Per level P = mean over the class channels of a cell of (z - z*)^2 and F = mean over the D channels of
    (S - T)^2; L = mean over levels of the mean over cells of P F. Reads `features` and `cls_logits`. A
    product of two squares is large at the start: keep the learning rate's warm-up.

    Args:
        weight: 1.5 in the implementation named below.
        scores: what is compared, `logits` or `probabilities`.
        gradient_through_gap: whether P pulls the class predictions together too, or is a constant weight.
            The publication's choice could not be verified, for neither of the two options.
        region: the cells of the mean; with `all` without the padding of a batch.
        adapter: None, or the side of a convolution per level on the student's maps (1 or 3), needed where the
            widths differ.
        name: key in the loss dict.
    Raises:
        ConfigError: unknown `scores`.
    Source: arXiv:2112.04840, prediction-guided feature imitation; open-mmlab/mmrazor, development file
        pgfi.py, whose mean counts the padding: `regions=dict(all=dict(type="All", padding="included"))`.
    """

    requires = ("cls_logits",)
    reads_features = True

    def __init__(
        self,
        weight: float = 1.5,
        *,
        scores: str = "logits",
        gradient_through_gap: bool = True,
        region: str = "all",
        adapter: int | None = None,
        name: str = "loss_pfi",
    ):
        if scores not in SCORES:
            raise ConfigError(f"PFI: unknown scores {scores!r}: {suggestion(scores, SCORES)}")
        super().__init__(weight, name)
        self.scores, self.gradient_through_gap = scores, gradient_through_gap
        self.region, self.regions = region, (region,)
        self.adapter = adapter

    def bind(self, student: Any, teacher: Any) -> list[str]:
        """See `Term`; makes the adapters, or refuses maps of different widths without any."""
        own, given = student.feature_channels, teacher.feature_channels
        problems = super().bind(student, teacher)
        if self.adapter is not None:
            self.adapters = conv_adapters(shared_levels(student, teacher), own, given, self.adapter)
        elif own != given:
            problems.append(
                f"PFI: the student's maps have {own} channels, the teacher's {given}: add adapter=1"
            )
        return problems

    def __call__(self, context: StepContext):
        """Scalar Var, `weight` not yet applied."""
        priors, weights = context.priors, context.region(self.region)
        gaps = self._gaps(context)  # [N, P]
        errors = []
        for level, student, teacher in context.feature_levels():
            adapted = self.adapters[level](student) if self.adapters else student
            height, width = priors.level_sizes[level]
            gap = gaps[:, priors.level_slices[level]].reshape(-1, height, width, priors.num_per_cell).mean(3)
            mask = (cell_weights(weights, priors, level) > 0).float32()
            errors.append(guided_error(adapted, teacher, gap, mask))
        return mean_of(errors)

    def _gaps(self, context: StepContext):
        student, teacher = (
            SCORES[self.scores](trace.predictions["cls_logits"])
            for trace in (context.student, context.teacher)
        )
        difference = student - teacher.stop_grad()
        gaps = (difference * difference).mean(2)
        return gaps if self.gradient_through_gap else gaps.stop_grad()
