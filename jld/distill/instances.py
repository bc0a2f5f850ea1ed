"""Instances of a step in slots of fixed number: where they are, what the pyramids show there, and how far the
two networks agree on each of them.

Source: arXiv:2210.09022, the robust distilling module; hikvision-research/DAVAR-Lab-ML
(`kd_one_stage_strategy.py`, `kd_two_stage_strategy.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from jld.assign.levels import level_of_boxes
from jld.boxes.formats import split_corners
from jld.boxes.places import rows_at
from jld.distill.context import StepContext
from jld.errors import ConfigError
from jld.models.trace import Stage
from jld.ops.crop_means import crop_means
from jld.ops.roi_align import roi_align
from jld.toolchain import jittor as jt

# Bins along each side of the crops that a box head reads.
ROI_SIZE = 7
# How a coordinate outside of the image is read when features are cropped.
OUTSIDE: dict[str, Callable[[jt.Var], jt.Var]] = {"clip": lambda x: jt.maximum(x, 0.0), "mirror": jt.abs}


@dataclass(frozen=True)
class Instances:
    """K instances per image, some slots empty; no gradient flows into them.

    Attributes:
        boxes: [N, K, 4] corners in px.
        labels: [N, K] int32 class, 0 in empty slots.
        mask: [N, K] 1 for real ones.
        rows: [N, K] int32 the place of the stage that each one is.
    """

    boxes: jt.Var
    labels: jt.Var
    mask: jt.Var
    rows: jt.Var


def positives_of(stage: Stage, slots: int) -> Instances:
    """The positives of a stage, in the order of its places.

    Args:
        stage: of the student, with an assignment and upright boxes.
        slots: K, at most. An image with more positives is represented by K of them, evenly spread over
            their order.
    """
    assignment, places = stage.assigned, stage.places
    p = assignment.labels.shape[1]
    k = min(slots, p)
    negative = 1.0 - assignment.positive_mask
    # Numbers of places stay below 2^24, so single precision sorts them exactly.
    order, _ = jt.argsort(negative * float(p) + jt.arange(p).float32().unsqueeze(0), dim=1)
    count = assignment.positive_mask.sum(1, keepdims=True).int32()  # [N, 1]
    slot = jt.arange(k).unsqueeze(0).int32()  # [1, K]
    spread = jt.ternary(count > k, (slot * count) // k, slot + count * 0)  # [N, K]
    rows = rows_at(order.int32(), spread)
    mask = (slot < count).float32()
    boxes, labels = (rows_at(each, rows) for each in (places.boxes, assignment.labels))
    fields = boxes, labels * mask.int32(), mask, rows
    return Instances(*(each.detach() for each in fields))


def cells_of(
    boxes: jt.Var, stride: float, size: tuple[int, int], *, inclusive: bool, outside: str = "clip"
) -> jt.Var:
    """[..., 4] int32 first column, first row, last column, last row of the cells that boxes [..., 4] lie on.

    floor(coordinate / stride), limited to the map. Mirrored, a box across a border may end before it begins:
    inclusive ones then hold their first column or row (the released code: none, and NaN as their mean).

    Args:
        size: (height, width) of the map.
        inclusive: the last ones belong to the box; False: they are the ends behind it.
        outside: how negative coordinates are read, see OUTSIDE.
    """
    last = 1 if inclusive else 0
    limits = (size[1] - last, size[0] - last) * 2
    columns = [
        jt.minimum(jt.floor(OUTSIDE[outside](each) / stride), float(limit))
        for each, limit in zip(split_corners(boxes), limits, strict=True)
    ]
    if inclusive and outside != "clip":
        columns[2:] = [jt.maximum(*pair) for pair in zip(columns[:2], columns[2:], strict=True)]
    return jt.stack(columns, -1).int32()


class Prototypes:
    """Features of the prototypes of every class on every level, in both spaces.

    Args:
        student, teacher: NumPy [L, C, K, D]; D may differ.
        mask: NumPy [L, C, K] 1 for real ones.
    """

    def __init__(self, student: np.ndarray, teacher: np.ndarray, mask: np.ndarray):
        self.student, self.teacher, self.mask = (
            np.ascontiguousarray(each, np.float32) for each in (student, teacher, mask)
        )
        spaces = (self.student, self.teacher)
        # Made once, because a step would send them to the device again.
        self._directions = [
            [unit(jt.array(each[level].reshape(-1, each.shape[-1]))).stop_grad() for each in spaces]
            for level in range(len(self.mask))
        ]
        self._masks = [jt.array(each).stop_grad() for each in self.mask]

    @property
    def shape(self) -> tuple[int, ...]:
        """(L, C, K, D of the student, D of the teacher)."""
        return (*self.student.shape, self.teacher.shape[-1])

    def similarities(self, level: int, features: jt.Var, *, of_teacher: bool) -> jt.Var:
        """[N, K, C, prototypes] cosine of features [N, K, D] and every prototype of a level."""
        n, k, d = features.shape
        directions = self._directions[level][of_teacher]  # [C * prototypes, D]
        cosines = jt.matmul(unit(features).reshape(n * k, d), directions.transpose(1, 0))
        return cosines.reshape(n, k, *self.mask.shape[1:])

    def mask_of(self, level: int) -> jt.Var:
        """[C, prototypes] 1 for the real prototypes of a level."""
        return self._masks[level]


def unit(features: jt.Var) -> jt.Var:
    """Vectors [..., D] scaled to length 1; one of zeros stays, without gradient."""
    lengths = jt.sqrt((features * features).sum(-1, keepdims=True).maximum(1e-16))
    return features / lengths


@dataclass(frozen=True)
class Similarities:
    """Of the instances and all prototypes of one level.

    Attributes:
        student: [N, K, C, prototypes] cosines in the student's space, with gradient.
        teacher: the same in the teacher's space, without.
        mask: [C, prototypes] 1 for real prototypes.
        agreement: [N, K] r = 1 - abs(max_p student - max_p teacher) over the prototypes p of the instance's
            own class; 1 where the class has none. No gradient.
    """

    student: jt.Var
    teacher: jt.Var
    mask: jt.Var
    agreement: jt.Var


class InstanceReader:
    """What the terms of one recipe read of a step; terms with equal settings share the work.

    Args:
        slots: instances per image at most, see `positives_of`.
        outside: see `cells_of`, for crops.
    Raises:
        ConfigError: no slot, or unknown `outside`.
    """

    def __init__(self, slots: int, outside: str = "clip"):
        if slots < 1 or outside not in OUTSIDE:
            raise ConfigError(
                f"max_instances={slots} must be 1 or more, outside={outside!r} one of {', '.join(OUTSIDE)}."
            )
        self.slots, self.outside = slots, outside

    def instances(self, context: StepContext) -> Instances:
        """The positives of the step."""
        return context.cached(("instances", self.slots), lambda: positives_of(context.student, self.slots))

    def features(self, context: StepContext) -> dict[int, tuple[jt.Var, jt.Var]]:
        """{level: (student's, teacher's) [N, K, D]} mean of each map over each instance."""
        return context.cached(
            ("instance features", self.slots, self.outside), lambda: self._features(context)
        )

    def _features(self, context: StepContext) -> dict[int, tuple[jt.Var, jt.Var]]:
        boxes, found = self.instances(context).boxes, {}
        for level, student, teacher in context.feature_levels():
            size, stride = tuple(student.shape[2:]), context.step.trace.strides[level]
            crops = cells_of(boxes, stride, size, inclusive=True, outside=self.outside)
            found[level] = crop_means(student, crops), crop_means(teacher, crops).detach()
        return found

    def similarities(self, context: StepContext, prototypes: Prototypes) -> dict[int, Similarities]:
        """{level: Similarities} of the step's instances."""
        key = ("similarities", self.slots, self.outside, id(prototypes))
        return context.cached(key, lambda: self._similarities(context, prototypes))

    def _similarities(self, context: StepContext, prototypes: Prototypes) -> dict[int, Similarities]:
        labels, found = self.instances(context).labels, {}
        for level, (student, teacher) in self.features(context).items():
            own = prototypes.similarities(level, student, of_teacher=False)
            given = prototypes.similarities(level, teacher, of_teacher=True).detach()
            mask = prototypes.mask_of(level)
            found[level] = Similarities(own, given, mask, agreement(own.detach(), given, mask, labels))
        return found

    def agreement(self, context: StepContext, prototypes: Prototypes) -> jt.Var:
        """[N, K] the agreement on each instance's own level; 1 where the teacher does not have that level."""
        boxes, num_levels = self.instances(context).boxes, len(context.step.trace.strides)
        per_level = {level: each.agreement for level, each in self.similarities(context, prototypes).items()}
        return _of_own_level(level_of_boxes(boxes, num_levels), per_level)

    def roi_agreement(self, context: StepContext, prototypes: Prototypes) -> jt.Var:
        """[N, K] the same of RoIAlign crops, on the level of the place that each instance is.

        The teacher has the strides of all levels that places are on.
        """
        instances, places = self.instances(context), context.places
        levels = rows_at(places.levels, instances.rows)
        pairs = {level: pair for level, *pair in context.feature_levels()}
        strides = places.level_strides
        own, given = (
            roi_align(
                [pairs[level][side].detach() for level in range(len(strides))],
                instances.boxes, levels, strides, size=ROI_SIZE, sampling_ratio=0,
            ).mean([3, 4])
            for side in (0, 1)
        )  # fmt: skip
        per_level = {}
        for level in range(len(strides)):
            similar = prototypes.similarities(level, own, of_teacher=False)
            wanted = prototypes.similarities(level, given, of_teacher=True)
            per_level[level] = agreement(similar, wanted, prototypes.mask_of(level), instances.labels)
        return _of_own_level(levels, per_level)


def _of_own_level(levels: jt.Var, per_level: Mapping[int, jt.Var]) -> jt.Var:
    """[N, K] of values {level: [N, K]} those of the levels [N, K]; 1 on levels without values."""
    doubts = [(levels == level).float32() * (1.0 - each) for level, each in per_level.items()]
    return 1.0 - sum(doubts)


def agreement(student: jt.Var, teacher: jt.Var, mask: jt.Var, labels: jt.Var) -> jt.Var:
    """[N, K] r of `Similarities`, of cosines [N, K, C, prototypes], mask [C, prototypes], labels [N, K]."""
    n, k, _, count = student.shape
    is_real = mask.reindex([n, k, count], ["@e0(i0,i1)", "i2"], extras=[labels])
    own, given = (
        jt.ternary(
            is_real > 0,
            each.reindex([n, k, count], ["i0", "i1", "@e0(i0,i1)", "i2"], extras=[labels]),
            -2.0,
        ).max(2)
        for each in (student, teacher)
    )
    return (1.0 - jt.abs(own - given)).detach()  # both are -2 where the class has no prototype
