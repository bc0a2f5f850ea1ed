"""BCKD: class scores one by one, and decoded boxes weighted by how far the scores are apart."""

from __future__ import annotations

from jld.distill.context import StepContext
from jld.distill.denominators import DENOMINATORS, check_denominator
from jld.distill.reduction import levels_with_positives
from jld.distill.terms.base import Term, softmax_problems
from jld.losses.focal import distillation_focal
from jld.losses.iou import giou_loss
from jld.losses.reduction import total
from jld.models.boxes import in_frame
from jld.models.interface import Interface
from jld.registry import TERMS
from jld.toolchain import jittor as jt


@TERMS.register
class BCKD(Term):
    """Binary classification distillation and IoU-based localization distillation, over all valid places.

    With u = max over classes of |sigma(z) - sigma(z_t)|, a constant, and boxes in strides,
    L = (cls_weight sum_c |sigma(z) - sigma(z_t)|^beta BCE(z, sigma(z_t))
      + box_weight sum u (1 - GIoU(b, b_t))) / avg.
    Reads `cls_logits` and the boxes of any heads for upright boxes whose places agree.

    Args:
        weight: factor of the whole term.
        cls_weight, box_weight: 1 and 4 in the released configs.
        beta: see above.
        avg: divisor, see `check_denominator`.
        skip_levels_without_positive: a level on which no image has a positive contributes nothing, as in the
            released code; nothing in the formulas asks for it.
        stage: see `Term`.
        name: key in the loss dict.
    Raises:
        ConfigError: unknown `avg`.
    Source: arXiv:2308.14286; TinyTigerPan/BCKD.
    """

    requires = ("cls_logits",)

    def __init__(
        self,
        weight: float = 1.0,
        *,
        cls_weight: float = 1.0,
        box_weight: float = 4.0,
        beta: float = 1.0,
        avg: str = "positives",
        skip_levels_without_positive: bool = False,
        stage: str | None = None,
        name: str = "loss_bckd",
    ):
        super().__init__(weight, name, stage=stage)
        self.cls_weight, self.box_weight, self.beta = cls_weight, box_weight, beta
        self.avg, self.skip_levels_without_positive = check_denominator(avg), skip_levels_without_positive

    def check(self, student: Interface, teacher: Interface) -> list[str]:
        """See `Term`."""
        stages = {"student": student.stage(self.stage), "teacher": teacher.stage(self.stage)}
        return [*super().check(student, teacher), *softmax_problems(self, student, teacher)] + [
            f"BCKD compares upright boxes; those of the {role}'s {stage.head} are described by "
            f"{stage.boxes.num_sides} numbers: use LocalizationKD or CrossKD"
            for role, stage in stages.items()
            if stage.boxes.num_sides != 4
        ]

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        student, teacher = context.student, context.teacher
        own, given = (side.predictions["cls_logits"] for side in (student, teacher))
        valid = context.assignment.label_weights
        if self.skip_levels_without_positive:
            valid = valid * levels_with_positives(context)
        gap = jt.abs(jt.sigmoid(given) - jt.sigmoid(own)).max(2).detach() * valid
        boxes = (in_frame(side.boxes(), context.places, "strides") for side in (student, teacher))
        classes = total(distillation_focal(own, given, self.beta) * valid)
        edges = total(gap * giou_loss(*boxes))
        return (self.cls_weight * classes + self.box_weight * edges) / DENOMINATORS[self.avg](context)
