"""CrossKD: the student's tower maps pass the rest of the teacher's head and should give its predictions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from jld.distill.adapters import ConvAdapters
from jld.distill.context import StepContext
from jld.distill.denominators import DENOMINATORS, check_denominator
from jld.distill.maps import channel_statistics, standardised
from jld.distill.terms.base import Term
from jld.errors import ConfigError, suggestion
from jld.losses.cross_entropy import binary_cross_entropy_with_logits
from jld.losses.focal import distillation_focal
from jld.losses.iou import giou_loss, iou_loss
from jld.losses.reduction import total
from jld.models.interface import Interface, StageInterface
from jld.ops.soft_targets import soft_kl_divergence
from jld.registry import TERMS
from jld.toolchain import jittor as jt

# Loss of decoded boxes, by the name of `box_loss`; `kl` and `l1` compare what the head predicts.
DECODED: dict[str, Callable[[jt.Var, jt.Var], jt.Var]] = {"giou": giou_loss, "iou": iou_loss}
BOX_LOSSES = ("kl", *DECODED, "l1")


def aligned(student_map: jt.Var, teacher_map: jt.Var) -> jt.Var:
    """A student's map with the mean and the deviation that each channel has in the teacher's.

    Args:
        student_map, teacher_map: [N, D, H, W] of one shape; no gradient flows into the teacher's.
    Source: arXiv:2306.11369, supplement; the statistics are those of the batch.
    """
    mean, deviation = channel_statistics(teacher_map.detach())
    shared = [0, 2, 3]
    return standardised(student_map) * deviation.broadcast(student_map, shared) + mean.broadcast(
        student_map, shared
    )


@contextmanager
def constant_parameters(module: jt.Module) -> Iterator[None]:
    """Inside the block no gradient reaches the module's parameters; it hands gradients on all the same.

    A frozen teacher's have none anyway; one that learns, with a head of its own or the student's, would
    otherwise be taught by what it teaches.
    """
    learning = [
        (part, name, value)
        for part in module.modules()
        for name, value in vars(part).items()
        if isinstance(value, jt.Var) and not value.is_stop_grad()
    ]
    for part, name, value in learning:
        setattr(part, name, value.detach())
    try:
        yield
    finally:
        for part, name, value in learning:
            setattr(part, name, value)


def _tower(stage: StageInterface) -> tuple[int, int]:
    """(layers, channels) of a stage's towers, (0, 0) without any."""
    return stage.tower or (0, 0)


@TERMS.register
class CrossKD(Term):
    """Cross-head distillation: detection losses and the teacher meet in different parts of the student.

    The student's maps after `depth` layers of both towers, aligned per channel, pass the teacher's remaining
    layers (constants, but they hand gradients on). With z_r, b_r these predictions, z_t, b_t the teacher's
    own and v the teacher's highest score of a place,
    L = cls_weight sum_c |sigma(z_r) - sigma(z_t)|^beta BCE(z_r, sigma(z_t)) / avg + box_weight L_box
      + centerness_weight sum_positives BCE(c_r, sigma(c_t)) / avg.
    The student's own last layers learn from the detection losses alone.

    Args:
        weight: factor of the whole term.
        depth: layers of the student's towers before the maps are handed over; released 3, for FCOS 2.
        cls_weight: 1, for FCOS 0.4.
        box_weight: 4 for distributions, 1 for deltas, 0.75 for FCOS.
        centerness_weight: 1 for ATSS; released heads of FCOS leave it out.
        beta: see above.
        avg: divisor of the sums, see `check_denominator`; released: `positives`, for RetinaNet
            `own_positives`, for FCOS `centerness_released`.
        box_loss: `kl`: mean over the sides of the divergence of their distributions, mean over places with
            weight v; `giou`, `iou` (-log IoU): of the decoded boxes, weighted by v, divided by avg; `l1`: of
            the deltas, reduced like `kl`. None: `kl` for distributions, `iou` for distances, `giou` for
            upright and `l1` for rotated deltas (an option of jld).
        adapter: None, "1x1" or "3x3": a convolution per level and tower on the student's maps; needed where
            the towers' widths differ.
        stage: see `Term`.
        name: key in the loss dict.
    Raises:
        ConfigError: unknown `avg` or `box_loss`, or a depth below 1.
    Source: arXiv:2306.11369; written from the formulas.
    Differs: a map of one cell and one image, and a channel without spread, give finite values (released:
        NaN).
    """

    requires = ("cls_logits",)
    hidden_depth: int

    def __init__(
        self,
        weight: float = 1.0,
        depth: int = 3,
        *,
        cls_weight: float = 1.0,
        box_weight: float = 4.0,
        centerness_weight: float = 0.0,
        beta: float = 1.0,
        avg: str = "positives",
        box_loss: str | None = None,
        adapter: str | int | None = None,
        stage: str | None = None,
        name: str = "loss_cross",
    ):
        if depth < 1:
            raise ConfigError(f"CrossKD: depth is {depth}, it must be 1 or more layers of the towers.")
        if box_loss not in (None, *BOX_LOSSES):
            raise ConfigError(
                f"CrossKD: unknown box_loss {box_loss!r}: {suggestion(str(box_loss), BOX_LOSSES)}"
            )
        super().__init__(weight, name, stage=stage)
        self.hidden_depth, self.beta = depth, beta
        self.cls_weight, self.box_weight, self.centerness_weight = cls_weight, box_weight, centerness_weight
        self.avg, self.box_loss = check_denominator(avg), box_loss
        self.towers = {branch: ConvAdapters(adapter, bias=False) for branch in ("cls", "reg")}

    def check(self, student: Interface, teacher: Interface) -> list[str]:
        """See `Term`."""
        sides = {"student": student.stage(self.stage), "teacher": teacher.stage(self.stage)}
        problems = super().check(student, teacher)
        for role, side in sides.items():
            layers, _ = _tower(side)
            if layers < self.hidden_depth:
                problems.append(
                    f"CrossKD leaves the towers after {self.hidden_depth} layers, the {role}'s {side.head} "
                    f"has {layers}: set depth"
                )
        if not problems:
            own, given = (_tower(side)[1] for side in sides.values())
            problems += self.towers["cls"].problems("CrossKD, inside the heads", own, given)
        if self.centerness_weight and "centerness_logits" not in sides["teacher"].shapes:
            problems.append(f"CrossKD: the teacher's {sides['teacher'].head} has no centerness: leave it out")
        if self._kind(teacher) in DECODED and sides["teacher"].boxes.num_sides != 4:
            problems.append(f"CrossKD: box_loss={self.box_loss!r} is for upright boxes: use 'kl' or 'l1'")
        if self._kind(teacher) == "l1" and sides["teacher"].boxes.key == "box_logits":
            problems.append("CrossKD: box_loss='l1' is for deltas or distances, not distributions: use 'kl'")
        if self._kind(teacher) == "kl" and sides["teacher"].boxes.key != "box_logits":
            problems.append("CrossKD: box_loss='kl' needs a teacher that predicts distributions of its boxes")
        return problems

    def bind(self, student: Interface, teacher: Interface) -> None:
        """See `Term`; chooses the box loss that suits the teacher's boxes."""
        own, given = (_tower(side.stage(self.stage))[1] for side in (student, teacher))
        for adapters in self.towers.values():
            adapters.make(range(len(student.strides)), own, given)
        self.box_loss = self._kind(teacher)

    def _kind(self, teacher: Interface) -> str:
        boxes = teacher.stage(self.stage).boxes
        by_key = {"box_logits": "kl", "box_distances": "iou"}
        return self.box_loss or by_key.get(boxes.key, "giou" if boxes.num_sides == 4 else "l1")

    def modules(self) -> Mapping[str, jt.Module]:
        """See `Term`."""
        return {
            f"{branch}.{name}": conv
            for branch, part in self.towers.items()
            for name, conv in part.convs.items()
        }

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        teacher = context.teacher
        with constant_parameters(teacher.head):
            reused = teacher.resume(self._handed_over(context), self.hidden_depth)
        given = {key: value.detach() for key, value in teacher.predictions.items()}
        valid, avg = context.assignment.label_weights, DENOMINATORS[self.avg](context)
        scores = teacher.confidence().detach() * valid  # [N, P]
        classes = distillation_focal(reused["cls_logits"], given["cls_logits"], self.beta)
        loss = self.cls_weight * total(classes * valid) / avg
        loss = loss + self.box_weight * self._box_loss(context, reused, given, scores, avg)
        if self.centerness_weight:
            wanted = jt.sigmoid(given["centerness_logits"])
            values = binary_cross_entropy_with_logits(reused["centerness_logits"], wanted)
            loss = loss + self.centerness_weight * total(values * context.assignment.positive_mask) / avg
        return loss

    def _handed_over(self, context: StepContext) -> list[tuple[jt.Var, jt.Var]]:
        """The student's tower maps as the teacher's head takes them, a pair per level."""
        own, given = (side.hidden[self.hidden_depth] for side in (context.student, context.teacher))
        return [
            tuple(
                aligned(part(level, mine), theirs)
                for part, mine, theirs in zip(self.towers.values(), *pairs, strict=True)
            )
            for level, pairs in enumerate(zip(own, given, strict=True))
        ]

    def _box_loss(
        self,
        context: StepContext,
        reused: Mapping[str, jt.Var],
        given: Mapping[str, jt.Var],
        scores: jt.Var,
        avg: jt.Var,
    ) -> jt.Var:
        stage = context.teacher
        if self.box_loss in DECODED:
            # Both in the teacher's own coding, decoded from the teacher's own places.
            boxes = stage.head.decode(reused, stage.places), stage.boxes().detach()
            return total(scores * DECODED[self.box_loss](*boxes)) / avg
        key = stage.head.boxes.key
        if self.box_loss == "kl":
            values = soft_kl_divergence(reused[key], given[key], 1.0)  # [N, P, S]
        else:
            values = jt.abs(reused[key] - given[key])
        return total(scores * values.mean(2)) / jt.maximum(total(scores), 1e-6)
