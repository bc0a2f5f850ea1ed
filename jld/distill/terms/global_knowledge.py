"""Distillation with global knowledge: features and labels weighted by the networks' agreement; prototypes.

Each term is one part of the loss of arXiv:2210.09022, so that every row of an ablation is a list of terms.
What they share, such as the agreement, is computed once per step.
"""

from __future__ import annotations

import numpy as np

from jld.assign.levels import level_of_boxes
from jld.boxes.places import cells_inside, rows_at
from jld.distill.adapters import ConvAdapters
from jld.distill.context import StepContext
from jld.distill.instances import InstanceReader, cells_of
from jld.distill.terms.base import softmax_problems
from jld.distill.terms.classification_kd import DIVERGENCES
from jld.distill.terms.defeat import decoupled_error
from jld.distill.terms.instances import InstanceTerm
from jld.errors import ConfigError
from jld.losses.reduction import total
from jld.losses.regression import smooth_l1
from jld.models.interface import Interface
from jld.ops.paint_boxes import paint_boxes
from jld.registry import TERMS
from jld.toolchain import jittor as jt

OVER_LEVELS = ("mean", "sum")
DESCRIPTIONS = {"cells": InstanceReader.agreement, "roi_align": InstanceReader.roi_agreement}


@TERMS.register
class RobustFeatures(InstanceTerm):
    """Decoupled features whose object cells count by how far the networks agree on the object.

    As `DeFeat`, L over levels l of object_weight E(M_l) + background_weight E(M_l = 0), where M_l holds the
    agreement r of the positives of that level (`level_of_boxes`), later ones over earlier ones.
    Reads `features` and the student's assignment.

    Args:
        weight: factor of the whole term.
        object_weight, background_weight: released 1 and 4.
        weighted: False: every object cell counts 1, and no prototypes are needed.
        over_levels: `mean` (released for two stages) or `sum` (released for RetinaNet).
        padding: `excluded` leaves out the cells of the batch's padding; `included` is released.
        max_instances, outside: see `InstanceTerm`.
        stage: whose positives are the instances: `roi` of a two-stage detector.
        name: key in the loss dict.
    Raises:
        ConfigError: unknown `over_levels` or `padding`.
    Source: arXiv:2210.09022; hikvision-research/DAVAR-Lab-ML (`kd_loss.py`, "decouple").
    """

    def __init__(
        self,
        weight: float = 1.0,
        object_weight: float = 1.0,
        background_weight: float = 4.0,
        *,
        weighted: bool = True,
        over_levels: str = "mean",
        padding: str = "excluded",
        max_instances: int = 512,
        outside: str = "clip",
        stage: str | None = None,
        name: str = "loss_robust_features",
    ):
        if over_levels not in OVER_LEVELS or padding not in ("excluded", "included"):
            raise ConfigError(
                f"RobustFeatures: over_levels={over_levels!r} must be one of {', '.join(OVER_LEVELS)}, "
                f"padding={padding!r} 'excluded' or 'included'."
            )
        super().__init__(
            weight,
            name,
            max_instances=max_instances,
            outside=outside,
            needs_prototypes=weighted,
            stage=stage,
            adapters=ConvAdapters("3x3"),
        )
        self.weights = object_weight, background_weight
        self.weighted, self.over_levels, self.padding = weighted, over_levels, padding

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        errors = [
            decoupled_error(
                self.adapters(level, student),
                teacher,
                self.objects(context, level),
                self._valid(context, level),
                self.weights,
            )
            for level, student, teacher in context.feature_levels()
        ]
        return sum(errors) if self.over_levels == "sum" else sum(errors) / len(errors)

    def objects(self, context: StepContext, level: int) -> jt.Var:
        """[N, H, W] M of a level: the agreement on the object that covers the cell, 0 without one."""
        instances, trace = self.reader.instances(context), context.step.trace
        agreed = (
            self.reader.agreement(context, self.prototypes)
            if self.weighted
            else jt.ones(instances.mask.shape)
        )
        here = level_of_boxes(instances.boxes, len(trace.strides)) == level
        values = jt.ternary(here.logical_and(instances.mask > 0), agreed, -1.0)
        size = tuple(trace.features[level].shape[2:])
        cells = cells_of(instances.boxes, trace.strides[level], size, inclusive=False)
        return paint_boxes(cells, values, *size)

    def _valid(self, context: StepContext, level: int) -> jt.Var:
        shape = context.step.trace.features[level].shape
        if self.padding == "included":
            return jt.ones((shape[0], *shape[2:]))
        stride = context.step.trace.strides[level]
        return jt.array(cells_inside(tuple(shape[2:]), stride, np.asarray(context.targets.pad_shapes)))

    def describe(self) -> str:
        """See `Term`."""
        return (
            f"{self.name}: RobustFeatures(weight={self.weight:g}, object_weight={self.weights[0]:g}, "
            f"background_weight={self.weights[1]:g}, weighted={self.weighted}, "
            f"over_levels={self.over_levels})"
        )


@TERMS.register
class RobustLabels(InstanceTerm):
    """The teacher's class distribution of every positive, weighted by the agreement on the instance.

    Mean over the positives of r KL_T between the class logits of the same place. Reads `cls_logits`,
    `features` and the student's assignment.

    Args:
        weight: factor of the scalar.
        temperature: released 2.
        weighted: False: every positive counts 1, and no prototypes are needed.
        activation: see `ClassificationKD`; released `softmax`, for a sigmoid classifier too.
        described_by: what an instance is compared with the prototypes by: `cells`, the mean over its cells
            (released for RetinaNet), or `roi_align`, the mean of a RoIAlign crop (released for two stages).
        max_instances, outside, stage, name: see `RobustFeatures`.
    Raises:
        ConfigError: unknown activation or `described_by`.
    Source: arXiv:2210.09022; hikvision-research/DAVAR-Lab-ML.
    Differs: a batch without positives gives 0 (there: NaN), and a positive is weighted by its own agreement
        (there, for RetinaNet, by that of another one).
    """

    requires = ("cls_logits",)

    def __init__(
        self,
        weight: float = 1.0,
        temperature: float = 2.0,
        *,
        weighted: bool = True,
        activation: str = "softmax",
        described_by: str = "cells",
        max_instances: int = 512,
        outside: str = "clip",
        stage: str | None = None,
        name: str = "loss_robust_labels",
    ):
        if activation not in DIVERGENCES or described_by not in DESCRIPTIONS:
            raise ConfigError(
                f"RobustLabels: activation={activation!r} must be one of {', '.join(DIVERGENCES)}, "
                f"described_by={described_by!r} one of {', '.join(DESCRIPTIONS)}."
            )
        super().__init__(
            weight,
            name,
            max_instances=max_instances,
            outside=outside,
            needs_prototypes=weighted,
            stage=stage,
        )
        self.temperature, self.weighted, self.activation = temperature, weighted, activation
        self.described_by, self.agreement = described_by, DESCRIPTIONS[described_by]

    def check(self, student: Interface, teacher: Interface) -> list[str]:
        """See `Term`."""
        problems = super().check(student, teacher)
        if self.activation == "sigmoid":
            problems += softmax_problems(self, student, teacher)
        if self.activation == "softmax" and student.stage(self.stage).shapes.get("cls_logits") == (1,):
            problems.append(
                "RobustLabels: a softmax over one class is 1 whatever the logits, the term is zero: "
                "set activation='sigmoid'"
            )
        if self.described_by == "roi_align" and not set(student.strides) <= set(teacher.strides):
            problems.append(
                f"RobustLabels: crops need the teacher's maps of all strides {student.strides}, it has those "
                f"of {teacher.strides}: set described_by='cells'"
            )
        return problems

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        instances = self.reader.instances(context)
        student, teacher = (
            rows_at(side.predictions["cls_logits"], instances.rows)
            for side in (context.student, context.teacher)
        )
        divergence = DIVERGENCES[self.activation](student, teacher.detach(), self.temperature)  # [N, K]
        weights = instances.mask
        if self.weighted:
            weights = weights * self.agreement(self.reader, context, self.prototypes)
        return (divergence * weights).sum() / instances.mask.sum().maximum(1.0)


@TERMS.register
class GlobalKnowledge(InstanceTerm):
    """Every instance is to lie to all prototypes in the student's space as it does in the teacher's.

    Sum over levels of the mean over instances and prototypes p of all classes of
    SmoothL1(r cos(f, p), r cos(f*, p*)). Reads `features` and the student's assignment; the gradient goes
    into the student's features alone.

    Args:
        weight: released 5.
        max_instances, outside, stage, name: see `RobustFeatures`.
    Source: arXiv:2210.09022; hikvision-research/DAVAR-Lab-ML (`pair_wise`, which the released config leaves
        out by a wrong switch).
    """

    def __init__(
        self,
        weight: float = 5.0,
        *,
        max_instances: int = 512,
        outside: str = "clip",
        stage: str | None = None,
        name: str = "loss_global_knowledge",
    ):
        super().__init__(
            weight, name, max_instances=max_instances, outside=outside, needs_prototypes=True, stage=stage
        )

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        found = self.reader.similarities(context, self.prototypes)
        mask = self.reader.instances(context).mask.unsqueeze(2).unsqueeze(3)  # [N, K, 1, 1]
        losses = []
        for each in found.values():
            weight = each.agreement.unsqueeze(2).unsqueeze(3)
            values = smooth_l1(weight * each.student, (weight * each.teacher).detach())
            pairs = mask.sum() * each.mask.sum()
            losses.append(total(values * mask * each.mask) / pairs.maximum(1.0))
        return sum(losses)
