"""PFI: imitation of feature cells, weighed by how far the two networks' predictions are apart."""

from __future__ import annotations

from collections.abc import Callable

from jld.boxes.places import on_grid
from jld.distill.adapters import ConvAdapters
from jld.distill.context import StepContext
from jld.distill.maps import cell_weights, mean_of
from jld.distill.terms.base import RegionName, Term
from jld.errors import one_of
from jld.losses.regression import squared_error
from jld.registry import TERMS
from jld.toolchain import jittor as jt

SCORES: dict[str, Callable[[jt.Var], jt.Var]] = {"logits": lambda logits: logits, "probabilities": jt.sigmoid}


def guided_error(student_map: jt.Var, teacher_map: jt.Var, gap: jt.Var, mask: jt.Var) -> jt.Var:
    """Mean over the cells of a mask of the prediction gap times the mean squared feature difference.

    Args:
        student_map, teacher_map: [N, D, H, W] of one width; no gradient flows into the teacher's.
        gap: [N, H, W] how far the predictions of a cell are apart.
        mask: [N, H, W] 1 or 0.
    Returns:
        Scalar Var; 0 where the mask is empty.
    """
    product = gap * squared_error(student_map, teacher_map.detach()).mean(1)
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
        adapter: None, "1x1" or "3x3": a convolution per level on the student's maps; needed where the widths
            differ.
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
        region: RegionName = "all",
        adapter: str | int | None = None,
        name: str = "loss_pfi",
    ):
        one_of(scores, SCORES, f"PFI: unknown scores {scores!r}")
        super().__init__(weight, name, adapters=ConvAdapters(adapter))
        self.scores, self.gradient_through_gap = scores, gradient_through_gap
        self.region, self.regions = region, (region,)

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        places, weights = on_grid(context.places), context.region(self.region)
        gaps = self._gaps(context)  # [N, P]
        errors = []
        for level, student, teacher in context.feature_levels():
            adapted = self.adapters(level, student)
            height, width = places.level_sizes[level]
            gap = gaps[:, places.level_slices[level]].reshape(-1, height, width, places.num_per_cell).mean(3)
            mask = (cell_weights(weights, places, level) > 0).float32()
            errors.append(guided_error(adapted, teacher, gap, mask))
        return mean_of(errors)

    def _gaps(self, context: StepContext) -> jt.Var:
        student, teacher = (
            SCORES[self.scores](side.predictions["cls_logits"]) for side in (context.student, context.teacher)
        )
        gaps = squared_error(student, teacher.detach()).mean(2)
        return gaps if self.gradient_through_gap else gaps.detach()
