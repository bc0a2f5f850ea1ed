"""Localization distillation: the student copies the teacher's box-edge distributions (arXiv:2102.12252)."""

from __future__ import annotations

import numpy as np

from jld.distill.context import StepContext
from jld.distill.projection import equal_deltas, projection
from jld.distill.terms.base import RegionName, RegionTerm, shape_problems
from jld.errors import ConfigError
from jld.losses.kl import kl_divergence
from jld.models.interface import Interface
from jld.registry import TERMS
from jld.toolchain import jittor as jt
from jld.utils.logging import warn_once


@TERMS.register
class LocalizationKD(RegionTerm):
    """KL divergence between student and teacher box-edge distributions.

    Every side of a box (four; five for rotated boxes) is a distribution over bins; matching it hands over how
    sure the teacher is of that edge. Reads `box_logits` [N, P, S, B].

    Args:
        sides: `mean` divides by the number of sides (avg_factor 4 of the horizontal code), `sum` does not
            (the rotated code); with `joint` all sides share one softmax over S*B entries (the released
            RetinaNet variant).
        support: `same` refuses a teacher whose bins stand for other distances than the student's; `projected`
            moves its probabilities to the student's bins (an option of jld: other `reg_max`, other ranges, or
            points at another place in the cell).
        region, weight, temperature, weighting, reduction, name, stage: see `RegionTerm`. The released VLR
            term divides by 16 instead of 4: weight 0.0625 here is its 0.25.
    Source: arXiv:2102.12252, section 3; arXiv:2204.05957; HikariTJU/LD mmdet/models/dense_heads/ld_head.py.
    Differs: the released sum over locations grows with the batch; `reduction="per_image"` does not.
    """

    kind = "ld"
    requires = ("box_logits",)

    def __init__(
        self,
        region: RegionName = "main",
        weight: float = 0.25,
        temperature: float = 10.0,
        *,
        weighting: str = "max_score",
        reduction: str = "sum",
        sides: str = "mean",
        support: str = "same",
        stage: str | None = None,
        name: str | None = None,
    ):
        super().__init__(region, weight, temperature, weighting, reduction, name, stage=stage)
        if sides not in ("mean", "sum", "joint"):
            raise ConfigError(f"LocalizationKD: sides is {sides!r}, it must be 'mean', 'sum' or 'joint'.")
        if support not in ("same", "projected"):
            raise ConfigError(f"LocalizationKD: support is {support!r}, it must be 'same' or 'projected'.")
        if support == "projected" and sides == "joint":
            raise ConfigError(
                "LocalizationKD: sides='joint' mixes the sides, nothing can be projected: use 'mean'."
            )
        self.sides, self.support = sides, support
        self._projection: np.ndarray | None = None

    def check(self, student: Interface, teacher: Interface) -> list[str]:
        """See `Term`."""
        is_projected = self.support == "projected"
        problems = shape_problems(
            self,
            "box_logits",
            student,
            teacher,
            stage=self.stage,
            axes=slice(0, 1) if is_projected else slice(None),
        )
        if not problems and not equal_deltas(*(side.stage(self.stage) for side in (student, teacher))):
            what, same = "deltas", "box coder and anchors"
            if not student.stage(self.stage).is_grid:
                what, same = "distances", "strides and canonical_px"
            return [
                f"LocalizationKD: {what} stand for other boxes at the teacher than at the student: give both "
                f"heads the same {same}"
            ]
        if not problems and not is_projected and self._matrices(student, teacher) is not None:
            problems.append(
                "LocalizationKD: the teacher's bins stand for other distances than the student's: "
                "give both heads the same ranges and prior positions, or set support='projected'"
            )
        return problems

    def bind(self, student: Interface, teacher: Interface) -> None:
        """See `Term`; computes the projection of the bins."""
        self._projection = self._matrices(student, teacher)
        if len({side.stage(self.stage).turned_is_same for side in (student, teacher)}) > 1:
            # Measured: projects/rotated_ld/README.md.
            warn_once(
                "LocalizationKD: a box with its sides changed over and turned by 90 degrees is the same to "
                "the box loss of one detector and another to that of the other. LD compares the numbers, "
                "which may then do harm: give student and teacher the same loss_bbox."
            )

    def _matrices(self, student: Interface, teacher: Interface) -> np.ndarray | None:
        return projection(student.stage(self.stage), teacher.stage(self.stage))

    def divergence(self, context: StepContext) -> jt.Var:
        per_side = context.cached(
            ("ld", self.temperature, self.sides == "joint", self.support), lambda: self._per_side(context)
        )
        return per_side.mean(dim=2) if self.sides == "mean" else per_side.sum(dim=2)  # [N, P]

    def _per_side(self, context: StepContext) -> jt.Var:
        student = context.student.predictions["box_logits"]
        teacher = context.teacher.predictions["box_logits"]
        if self.sides == "joint":
            n, p, s, b = student.shape
            student, teacher = student.reshape(n, p, 1, s * b), teacher.reshape(n, p, 1, s * b)
        matrices = None if self._projection is None else jt.array(self._projection)
        return kl_divergence(student, teacher, self.temperature, matrices)  # [N, P, S]
