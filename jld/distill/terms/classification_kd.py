"""Classification distillation: the student copies the teacher's class logits inside a region."""

from __future__ import annotations

from jld.distill.context import StepContext
from jld.distill.terms.base import RegionTerm
from jld.losses.kl import kl_divergence
from jld.registry import TERMS


@TERMS.register
class ClassificationKD(RegionTerm):
    """KL divergence between student and teacher class distributions.

    A softmax across the logits of a sigmoid classifier, background not modelled, as released; with a single
    class it is identically zero. Reads `cls_logits` [N, P, C].

    Args:
        region, weight, temperature, weighting, reduction, name: see `RegionTerm`. Released: main region,
            weight 10, temperature 2, mean over the positives of each level.
    Source: Hinton et al., arXiv:1503.02531; HikariTJU/LD mmdet/models/dense_heads/ld_head.py (loss_kd).
    """

    kind = "kd"
    requires = ("cls_logits",)

    def __init__(
        self,
        region: str = "main",
        weight: float = 10.0,
        temperature: float = 2.0,
        *,
        weighting: str = "uniform",
        reduction: str = "per_level_mean",
        name: str | None = None,
    ):
        super().__init__(region, weight, temperature, weighting, reduction, name)

    def divergence(self, context: StepContext):
        student = context.student.predictions["cls_logits"]
        teacher = context.teacher.predictions["cls_logits"]
        return context.cached(
            ("kd", self.temperature), lambda: kl_divergence(student, teacher, self.temperature)
        )
