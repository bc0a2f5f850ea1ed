"""Classification distillation: the student copies the teacher's class logits inside a region."""

from __future__ import annotations

from jld.distill.context import StepContext
from jld.distill.terms.base import RegionName, RegionTerm, softmax_problems
from jld.errors import ConfigError, suggestion
from jld.losses.kl import binary_kl_divergence, kl_divergence
from jld.models.interface import Interface
from jld.registry import TERMS
from jld.toolchain import jittor as jt

DIVERGENCES = {"softmax": kl_divergence, "sigmoid": binary_kl_divergence}


@TERMS.register
class ClassificationKD(RegionTerm):
    """KL divergence between student and teacher class distributions. Reads `cls_logits` [N, P, C].

    Args:
        activation: `softmax`: one distribution across the logits of a sigmoid classifier, background not
            modelled, as released; over a single class it would be identically zero and is refused. `sigmoid`:
            a distribution of two for every class, mean over the classes. None: `sigmoid` for one class, else
            `softmax`.
        region, weight, temperature, weighting, reduction, name, stage: see `RegionTerm`. Released: main
            region, weight 10, temperature 2, mean over the positives of each level.
    Raises:
        ConfigError: unknown activation.
    Source: Hinton et al., arXiv:1503.02531; HikariTJU/LD mmdet/models/dense_heads/ld_head.py (loss_kd).
    """

    kind = "kd"
    requires = ("cls_logits",)

    def __init__(
        self,
        region: RegionName = "main",
        weight: float = 10.0,
        temperature: float = 2.0,
        *,
        weighting: str = "uniform",
        reduction: str = "per_level_mean",
        activation: str | None = None,
        stage: str | None = None,
        name: str | None = None,
    ):
        super().__init__(region, weight, temperature, weighting, reduction, name, stage=stage)
        if activation not in (None, *DIVERGENCES):
            raise ConfigError(
                f"ClassificationKD: unknown activation {activation!r}: "
                f"{suggestion(str(activation), DIVERGENCES)}"
            )
        self.activation = activation

    def check(self, student: Interface, teacher: Interface) -> list[str]:
        """See `Term`."""
        problems = super().check(student, teacher)
        if self.activation == "sigmoid":
            problems += softmax_problems(self, student, teacher)
        if self.activation == "softmax" and student.stage(self.stage).shapes.get("cls_logits") == (1,):
            problems.append(
                "ClassificationKD: a softmax over one class is 1 whatever the logits, the term is zero: "
                "leave out activation, or set activation='sigmoid'"
            )
        return problems

    def divergence(self, context: StepContext) -> jt.Var:
        """See `RegionTerm`."""
        student, teacher = (side.predictions["cls_logits"] for side in (context.student, context.teacher))
        activation = self.activation or ("sigmoid" if student.shape[2] == 1 else "softmax")
        return context.cached(
            ("kd", self.temperature, activation),
            lambda: DIVERGENCES[activation](student, teacher, self.temperature),
        )
