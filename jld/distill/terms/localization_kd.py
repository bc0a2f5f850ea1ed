"""Localization distillation: the student copies the teacher's box-edge distributions (arXiv:2102.12252)."""

from __future__ import annotations

from jld.distill.context import StepContext
from jld.distill.terms.base import RegionTerm
from jld.errors import ConfigError
from jld.losses.kl import kl_divergence
from jld.registry import TERMS


@TERMS.register
class LocalizationKD(RegionTerm):
    """KL divergence between student and teacher box-edge distributions.

    Every side of a box (four; five for rotated boxes) is a distribution over bins; matching it hands over how
    sure the teacher is of that edge. Reads `box_logits` [N, P, S, B].

    Args:
        sides: `mean` divides by the number of sides (avg_factor 4 of the horizontal code), `sum` does not
            (the rotated code); with `joint` all sides share one softmax over S*B entries (the released
            RetinaNet variant).
        region, weight, temperature, weighting, reduction, name: see `RegionTerm`. The released VLR term
            divides by 16 instead of 4: weight 0.0625 here is its 0.25.
    Source: arXiv:2102.12252, section 3; arXiv:2204.05957; HikariTJU/LD mmdet/models/dense_heads/ld_head.py.
    Differs: the released sum over locations grows with the batch; `reduction="per_image"` does not.
    """

    kind = "ld"
    requires = ("box_logits",)

    def __init__(
        self,
        region: str = "main",
        weight: float = 0.25,
        temperature: float = 10.0,
        *,
        weighting: str = "max_score",
        reduction: str = "sum",
        sides: str = "mean",
        name: str | None = None,
    ):
        super().__init__(region, weight, temperature, weighting, reduction, name)
        if sides not in ("mean", "sum", "joint"):
            raise ConfigError(f"LocalizationKD: sides is {sides!r}, it must be 'mean', 'sum' or 'joint'.")
        self.sides = sides

    def divergence(self, context: StepContext):
        per_side = context.cached(
            ("ld", self.temperature, self.sides == "joint"), lambda: self._per_side(context)
        )
        return per_side.mean(dim=2) if self.sides == "mean" else per_side.sum(dim=2)  # [N, P]

    def _per_side(self, context: StepContext):
        student = context.student.predictions["box_logits"]
        teacher = context.teacher.predictions["box_logits"]
        if self.sides == "joint":
            n, p, s, b = student.shape
            student, teacher = student.reshape(n, p, 1, s * b), teacher.reshape(n, p, 1, s * b)
        return kl_divergence(student, teacher, self.temperature)  # [N, P, S]
