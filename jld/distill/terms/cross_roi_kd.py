"""CrossKD of a second stage: the student's pyramid through the teacher's box head, on the same RoIs."""

from __future__ import annotations

from jld.distill.adapters import ConvAdapters
from jld.distill.context import StepContext
from jld.distill.likeliest import numbers_of_likeliest
from jld.distill.terms.base import Term
from jld.distill.terms.cross_kd import constant_parameters
from jld.losses.kl import check_temperature
from jld.models.interface import Interface
from jld.ops.soft_targets import soft_kl_divergence
from jld.registry import TERMS
from jld.toolchain import jittor as jt


@TERMS.register
class CrossRoIKD(Term):
    """Cross-head distillation of a box head: labels teach the student's own, the teacher teaches its pyramid.

    The teacher's head, whose parameters are constants, reads the student's RoIs on the student's maps. With
    z_r, b_r these predictions, z_t, b_t those that it makes of the same RoIs on its own maps, and p the
    highest of its class scores, over the R RoIs of the batch
    L = cls_weight T^2 sum KL_T(z_t, z_r) / R + box_weight sum p |b_r - b_t| / (4 sum p),
    KL a sum over classes and background, b the deltas of the class of p. Reads `features`, a stage of RoIs.

    Args:
        weight: factor of the whole term.
        cls_weight, box_weight: as above; released 0.5 and 1.
        temperature: T; released 3.
        adapter: None, "1x1" or "3x3": a convolution per level on the student's maps; needed where the widths
            differ.
        stage: a stage of RoIs.
        name: key in the loss dict.
    Source: arXiv:2306.11369; jbwang1997/CrossKD, branch faster-rcnn; written from the formulas.
    Differs: distributions of box sides, which are ours, are compared by their KL, mean over the sides.
    """

    requires = ("cls_logits",)
    reads_features = True

    def __init__(
        self,
        weight: float = 1.0,
        cls_weight: float = 0.5,
        box_weight: float = 1.0,
        temperature: float = 3.0,
        *,
        adapter: str | int | None = None,
        stage: str = "roi",
        name: str = "loss_cross_roi",
    ):
        super().__init__(weight, name, stage=stage, adapters=ConvAdapters(adapter))
        self.cls_weight, self.box_weight = cls_weight, box_weight
        self.temperature = float(check_temperature(temperature))

    def check(self, student: Interface, teacher: Interface) -> list[str]:
        """See `Term`."""
        problems = super().check(student, teacher)
        if student.stage(self.stage).is_grid:
            problems.append(f"CrossRoIKD reads RoIs, the stage {self.stage!r} has none: use CrossKD")
        if not set(teacher.strides) <= set(student.strides):
            problems.append(
                f"CrossRoIKD: the teacher's head reads maps of strides {teacher.strides}, the student has "
                f"those of {student.strides}"
            )
        return problems

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        teacher, real = context.teacher, context.valid_mask
        maps = [self.adapters(level, student) for level, student, _ in context.feature_levels()]
        with constant_parameters(teacher.head):
            reused = teacher.on(maps)
        given = teacher.predictions["cls_logits"].detach()
        classes = soft_kl_divergence(reused["cls_logits"], given, self.temperature) * self.temperature**2
        scores = teacher.confidence().detach() * real  # [N, R]
        own, wanted = numbers_of_likeliest(reused, teacher)
        boxes = soft_kl_divergence(own, wanted, 1.0) if own.ndim == 4 else jt.abs(own - wanted)
        return self.cls_weight * (classes * real).sum() / real.sum().maximum(1.0) + self.box_weight * (
            boxes.mean(2) * scores
        ).sum() / scores.sum().maximum(1e-6)
