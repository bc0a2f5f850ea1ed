"""GID: features, relations and responses of the boxes where the two networks disagree most."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from jld.assign.rounds import GONE, pick_in_rounds
from jld.boxes.formats import split_corners
from jld.boxes.places import GridPlaces
from jld.distill.adapters import ConvAdapters
from jld.distill.context import StepContext
from jld.distill.likeliest import numbers_of_likeliest
from jld.distill.relations import distinct_pairs, relative_distances
from jld.distill.terms.base import RegionName, Term, shape_problems
from jld.errors import one_of
from jld.losses.cross_entropy import binary_cross_entropy_with_logits
from jld.losses.regression import smooth_l1, squared_error
from jld.models.boxes import in_frame, mean_the_same
from jld.models.interface import Interface, StageInterface
from jld.models.trace import Stage
from jld.ops.max_iou_match import max_iou_match
from jld.ops.roi_align import pyramid_levels, roi_align
from jld.ops.soft_targets import soft_cross_entropy
from jld.registry import TERMS
from jld.toolchain import jittor as jt


def objectness_gain(student_scores: jt.Var, teacher_scores: jt.Var) -> tuple[jt.Var, jt.Var]:
    """(how far apart the highest of C scores are, 1 where the teacher's is higher), both [N, P]."""
    student, teacher = (scores.max(2) for scores in (student_scores, teacher_scores))
    return jt.abs(teacher - student), teacher > student


def class_gain(student_scores: jt.Var, teacher_scores: jt.Var) -> tuple[jt.Var, jt.Var]:
    """(largest difference of one of C scores, 1 where the teacher has the higher one), both [N, P]."""
    gain = teacher_scores - student_scores
    up, down = gain.max(2), (-gain).max(2)
    return jt.maximum(up, down), up > down


SCORES: dict[str, Callable[[jt.Var, jt.Var], tuple[jt.Var, jt.Var]]] = {
    "objectness": objectness_gain,
    "class": class_gain,
}


@dataclass(frozen=True)
class Instances:
    """K boxes per image, some slots empty.

    Attributes:
        boxes: [N, K, 4] corners in px, a proper box in empty slots too; no gradient.
        mask: [N, K] 1 for real ones.
    """

    boxes: jt.Var
    mask: jt.Var


def general_instances(
    scores: jt.Var,
    boxes: jt.Var,
    image_sizes: jt.Var,
    *,
    candidates: int,
    count: int,
    min_side_px: float,
    iou_threshold: float,
) -> Instances:
    """The boxes of highest score, thinned by non-maximum suppression.

    Args:
        scores: [N, P]; negative ones are no candidates.
        boxes: [N, P, 4] corners in px.
        image_sizes: [N, 2] height, width that boxes are clipped to.
        candidates: places per image that are looked at, by score.
        count: K.
        min_side_px: clipped boxes with a side of this or less are dropped.
        iou_threshold: of the suppression, over all classes together.
    Source: arXiv:2103.02340, section 3.1.
    """
    n = scores.shape[0]
    order, _ = jt.argsort(scores, dim=1, descending=True)
    order = order[:, :candidates].int32()
    q = order.shape[1]
    scores = scores.reindex([n, q], ["i0", "@e0(i0,i1)"], extras=[order])
    boxes = boxes.reindex([n, q, 4], ["i0", "@e0(i0,i1)", "i2"], extras=[order])
    x1, y1, x2, y2 = split_corners(boxes)
    height, width = image_sizes[:, :1], image_sizes[:, 1:]
    x1, x2 = (jt.minimum(jt.maximum(x, 0.0), width) for x in (x1, x2))
    y1, y2 = (jt.minimum(jt.maximum(y, 0.0), height) for y in (y1, y2))
    large = (x2 - x1 > min_side_px).logical_and(y2 - y1 > min_side_px)
    boxes, scores = jt.stack([x1, y1, x2, y2], -1), jt.ternary(large, scores, GONE)
    picks = pick_in_rounds(
        scores, boxes, jt.zeros((q,), "int32"), num_groups=1, rounds=count, iou_threshold=iou_threshold
    ).squeeze(2)  # [N, K]
    mask = (picks < q).float32()
    chosen = boxes.reindex([n, count, 4], ["i0", "@e0(i0,i1)", "i2"], extras=[picks])
    # Empty slots read a box of zeros; one of a pixel keeps logarithms and divisions finite.
    return Instances((chosen + (1.0 - mask).unsqueeze(2) * jt.array([0.0, 0.0, 1.0, 1.0])).detach(), mask)


def feature_difference(student_crops: jt.Var, teacher_crops: jt.Var, mask: jt.Var) -> jt.Var:
    """Squared difference of crops, summed over channels, mean over their cells and over instances.

    Args:
        student_crops, teacher_crops: [K, D, H, W] of one width; no gradient flows into the teacher's.
        mask: [K] 1 for real instances.
    Returns:
        Scalar Var; 0 without instances.
    """
    per_instance = squared_error(student_crops, teacher_crops.detach()).sum(1).mean([1, 2])
    return (per_instance * mask).sum() / mask.sum().maximum(1.0)


def relation_difference(student_crops: jt.Var, teacher_crops: jt.Var, mask: jt.Var) -> jt.Var:
    """Smooth L1 between the instances' mutual distances in the two networks, each divided by its mean.

    Args:
        student_crops, teacher_crops: [K, ...], widths may differ; no gradient flows into the teacher's.
        mask: [K] 1 for real instances.
    Returns:
        Scalar Var, mean over ordered pairs; 0 with fewer than three instances.
    Source: arXiv:2103.02340, section 3.3.
    """
    k = mask.shape[0]
    pairs = distinct_pairs(mask)  # [K, K]
    student, teacher = (
        relative_distances(crops.reshape(k, -1), pairs) for crops in (student_crops, teacher_crops.detach())
    )
    enough = (mask.sum() > 2.5).float32()  # three or more
    return enough * (smooth_l1(student, teacher) * pairs).sum() / pairs.sum().maximum(1.0)


def response_difference(values: jt.Var, mask: jt.Var) -> jt.Var:
    """Mean over masked priors [N, P] of values [N, P, *] summed over their last axis; 0 without any."""
    return (values.sum(2) * mask).sum() / mask.sum().maximum(1.0)


@TERMS.register
class GID(Term):
    """General instance distillation: K boxes per image on which teacher and student disagree most.

    Boxes are decoded by the network that is surer of each prior. On them
    L = feature_weight sum_i |t_i - A(s_i)|^2 / (10 * 10 K)
      + relation_weight mean_{i != j} SmoothL1(d*_ij / mean d*, d_ij / mean d)
      + mean over the priors assigned to the boxes of (cls_weight BCE(z, sigmoid(z*)) + box_weight |b - b*|),
    t and s being RoIAlign crops and d their distances. b are the `box_deltas` where both heads predict
    them by equal coders, else the decoded corners in strides. Reads `features`, `cls_logits` and the boxes of
    any dense head for upright boxes.

    Args:
        weight: factor of the whole term.
        feature_weight, relation_weight, cls_weight, box_weight: as above; released 5e-4, 40, 0.1 and 1.
        scores: what disagreement is: `objectness`, difference of the highest class scores (released), or
            `class`, largest difference of one class's scores (the paper, as far as known).
        adapter: None, "1x1" or "3x3": a convolution A on the student's maps, shared by all levels (the
            paper: 3x3). In the released code it is neither trained nor used. Needed where the widths differ.
        region: the priors that may become instances.
        count, candidates, min_side_px, iou_threshold: see `general_instances`; count is K.
        crop_size: bins along each side of a crop.
        match_iou: IoU from which a prior answers for an instance; every instance has its best prior too.
        responses: stages whose classes and boxes are compared, their losses added: `["rpn", "roi"]` of a
            detector with two; None: the one that the instances are chosen from.
        stage: the stage that the instances are chosen from, see `Term`.
        name: key in the loss dict.
    Source: arXiv:2103.02340; daixinghome/Distill_GID_detectron2.
    Differs: boxes carry no gradient (the release forgets to cut it); heads without box deltas and second
        stages are ours (the release has RetinaNet alone).
    """

    requires = ("cls_logits",)
    reads_features = True

    def __init__(  # noqa: PLR0913 (the signature is the schema of a config section)
        self,
        weight: float = 1.0,
        feature_weight: float = 5e-4,
        relation_weight: float = 40.0,
        cls_weight: float = 0.1,
        box_weight: float = 1.0,
        *,
        scores: str = "objectness",
        adapter: str | int | None = None,
        region: RegionName = "all",
        count: int = 10,
        candidates: int = 3000,
        min_side_px: float = 10.0,
        iou_threshold: float = 0.3,
        crop_size: int = 10,
        match_iou: float = 0.5,
        responses: Sequence[str] | None = None,
        stage: str | None = None,
        name: str = "loss_gid",
    ):
        one_of(scores, SCORES, f"GID: unknown scores {scores!r}")
        super().__init__(weight, name, stage=stage, adapters=ConvAdapters(adapter, per_level=False))
        self.feature_weight, self.relation_weight = feature_weight, relation_weight
        self.cls_weight, self.box_weight = cls_weight, box_weight
        self.scores, self.crop_size, self.match_iou = scores, crop_size, match_iou
        self.region, self.regions = region, (region,)
        self.select = partial(
            general_instances,
            candidates=candidates,
            count=count,
            min_side_px=min_side_px,
            iou_threshold=iou_threshold,
        )
        self.responses: tuple[str | None, ...] = tuple(responses or (stage,))
        self._compares_deltas: dict[str | None, bool] = {}

    def check(self, student: Interface, teacher: Interface) -> list[str]:
        """See `Term`."""
        stages = {"student": student.stage(self.stage), "teacher": teacher.stage(self.stage)}
        problems = super().check(student, teacher) + [
            f"GID crops upright boxes; those of the {role}'s {stage.head} are described by "
            f"{stage.boxes.num_sides} numbers: use a feature term with a rotated region"
            for role, stage in stages.items()
            if stage.boxes.num_sides != 4
        ]
        for name in set(self.responses) - {self.stage}:
            lacking = [
                role for role, side in zip(stages, (student, teacher), strict=True) if name not in side.stages
            ]
            problems += [f"GID.responses: the {role} has no stage {name!r}: leave it out" for role in lacking]
            if not lacking:
                problems += shape_problems(self, "cls_logits", student, teacher, stage=name)
        return problems

    def bind(self, student: Interface, teacher: Interface) -> None:
        """See `Term`; finds out where both heads predict deltas that mean the same."""
        super().bind(student, teacher)
        self._compares_deltas = {
            name: _have_equal_deltas(student.stage(name), teacher.stage(name)) for name in self.responses
        }

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        instances = self.instances(context)
        responses = [self._response_loss(name, context, instances) for name in self.responses]
        return self._crop_losses(context, instances) + sum(responses)

    def instances(self, context: StepContext) -> Instances:
        """The general instances of the batch."""
        probabilities = (side.probabilities() for side in (context.student, context.teacher))
        gain, teacher_leads = SCORES[self.scores](*probabilities)
        boxes = jt.ternary(teacher_leads.unsqueeze(2), context.teacher.boxes(), context.student.boxes())
        scores = jt.ternary(context.region(self.region) > 0, gain, GONE)
        sizes = context.targets.img_shapes
        sizes = jt.array(context.targets.pad_shapes if sizes is None else sizes)
        return self.select(scores.detach(), boxes.detach(), sizes)

    def _crop_losses(self, context: StepContext, instances: Instances) -> jt.Var:
        levels = list(context.feature_levels())
        strides = [context.step.trace.strides[level] for level, _, _ in levels]
        students, teachers = [x for _, x, _ in levels], [x for _, _, x in levels]
        chosen = pyramid_levels(instances.boxes, strides)
        mask = instances.mask.reshape(-1)

        def crops(maps: Sequence[jt.Var]) -> jt.Var:
            found = roi_align(maps, instances.boxes, chosen, strides, size=self.crop_size)
            return found.reshape(-1, *found.shape[2:])

        student, teacher = crops(students), crops(teachers)
        adapts = bool(self.modules())
        adapted = crops([self.adapters(level, x) for level, x, _ in levels]) if adapts else student
        return self.feature_weight * feature_difference(
            adapted, teacher, mask
        ) + self.relation_weight * relation_difference(student, teacher, mask)

    def _response_loss(self, name: str | None, context: StepContext, instances: Instances) -> jt.Var:
        student, teacher = context.step.trace.stage(name), context.teacher_trace.stage(name)
        places = student.places
        valid = places.valid_mask(context.targets.pad_shapes)
        best, _, claimed = max_iou_match(
            places.boxes, instances.boxes, instances.mask, valid, min_pos_iou=0.0, assign_all=True
        )
        positive = (best >= self.match_iou).logical_or(claimed >= 0).float32() * valid
        if self._compares_deltas[name]:
            own, given = numbers_of_likeliest(student.predictions, teacher)
        else:
            own, given = (in_frame(side.boxes(), places, "strides") for side in (student, teacher))
        box = jt.abs(own - given.detach())
        return self.cls_weight * response_difference(
            class_response(student, teacher), positive
        ) + self.box_weight * response_difference(box, positive)


def class_response(student: Stage, teacher: Stage) -> jt.Var:
    """[N, P, C], of RoIs [N, P, 1]: cross entropy to the teacher's scores, which have no gradient.

    Each class of a grid has its sigmoid; those of a RoI and the background share a softmax.
    """
    own, given = (side.predictions["cls_logits"] for side in (student, teacher))
    if isinstance(student.places, GridPlaces):
        return binary_cross_entropy_with_logits(own, jt.sigmoid(given).detach())
    return soft_cross_entropy(own, jt.nn.softmax(given.detach(), dim=-1)).unsqueeze(2)


def _have_equal_deltas(student: StageInterface, teacher: StageInterface) -> bool:
    own, given = student.boxes, teacher.boxes
    key = "box_deltas"
    return (
        own.key == key
        and mean_the_same(own, given)
        and student.anchors == teacher.anchors
        and student.shapes[key] == teacher.shapes[key]
    )
