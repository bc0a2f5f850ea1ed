"""What one training step offers to the distillation terms, computed at most once.

Owns the sharing: a region, a score map or a divergence that several terms ask for is computed for the first
of them and handed to the others. Knows no term and no head beyond the documented keys of `predictions`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from jld.assign.assignment import Assignment
from jld.assign.interfaces import Region
from jld.boxes.places import Places
from jld.distill.step import Step
from jld.models.targets import Targets
from jld.models.trace import Stage, Trace
from jld.toolchain import jittor as jt

T = TypeVar("T")


class StepContext:
    """Everything a region or a term may read in one step, from one stage of the student and of one teacher.

    Args:
        step: the student's side of the step.
        teacher: the teacher's Trace, or None while regions are computed for a picture.
        regions: {name: region object}.
        stage: name of the stage that predictions, places and assignment are taken from; None: the first.
        shared: values that do not depend on the teacher, kept over the contexts of one step when there are
            several teachers.
    Attributes:
        step: see above.
        student: Stage of the student; gradients flow into it.
        targets: Targets of the batch.
        places: the student's Places.
    """

    def __init__(
        self,
        step: Step,
        teacher: Trace | None,
        regions: Mapping[str, Region],
        *,
        stage: str | None = None,
        shared: dict[Hashable, Any] | None = None,
    ):
        self.step = step
        self.student: Stage = step.trace.stage(stage)
        self.targets: Targets = step.targets
        self.places: Places = self.student.places
        self._teacher, self._stage = teacher, stage
        self._was_teacher_read = False
        self._regions = regions
        self._cache: dict[Hashable, Any] = {}
        self._shared = {} if shared is None else shared

    @property
    def assignment(self) -> Assignment:
        """The assignment of the student's assigner.

        Raises:
            ValueError: the student's trace was made without targets.
        """
        return self.student.assigned

    @property
    def teacher_trace(self) -> Trace:
        """The teacher's Trace. A region that reads it is computed for every teacher, others once per step.

        Raises:
            ValueError: there is no teacher.
        """
        if self._teacher is None:
            raise ValueError("this step has no teacher, whose predictions are asked for.")
        self._was_teacher_read = True
        return self._teacher

    @property
    def teacher(self) -> Stage:
        """The teacher's Stage, read like `teacher_trace`."""
        return self.teacher_trace.stage(self._stage)

    @property
    def valid_mask(self) -> jt.Var:
        """[N, P] 1 where the place is real and lies inside the image's own padded area."""
        return self._shared_value("valid_mask", lambda: self.places.valid_mask(self.targets.pad_shapes))

    def region(self, name: str) -> jt.Var:
        """[N, P] soft weight of the region called `name`, 0 outside; no gradient."""
        key = ("region", name)
        if key in self._shared:
            return self._shared[key]
        if key not in self._cache:
            before, self._was_teacher_read = self._was_teacher_read, False
            weights = self._regions[name](self).detach()
            (self._cache if self._was_teacher_read else self._shared)[key] = weights
            self._was_teacher_read |= before
            return weights
        self._was_teacher_read = True  # for a region that is made of this one
        return self._cache[key]

    def student_scores(self) -> jt.Var:
        """[N, P] the student's highest class score per place, without gradient (w_i of the LD papers)."""
        return self._shared_value("student_scores", lambda: self.student.confidence().detach())

    def feature_levels(self, levels: Sequence[int] | None = None) -> Iterator[tuple[int, jt.Var, jt.Var]]:
        """(level of the student, its map, the teacher's map without gradient) of every stride both have.

        Maps are [N, D, H_l, W_l]; D may differ. With `levels` of these student's levels only.
        """
        own, given = self.step.trace, self.teacher_trace
        for level, stride in enumerate(own.strides):
            if stride in given.strides and (levels is None or level in levels):
                yield level, own.features[level], given.features[given.strides.index(stride)].detach()

    def cached(self, key: Hashable, compute: Callable[[], T]) -> T:
        """`compute()` of the first call with this key in this step and for this teacher."""
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]

    def computed_regions(self) -> dict[str, jt.Var]:
        """{name: [N, P]} of the regions some term asked for so far."""
        found = (self._shared | self._cache).items()
        return {key[1]: value for key, value in found if isinstance(key, tuple) and key[0] == "region"}

    def depends_on_teacher(self, region: str) -> bool:
        """Whether a computed region was made with what this teacher predicts."""
        return ("region", region) in self._cache

    def _shared_value(self, key: Hashable, compute: Callable[[], T]) -> T:
        if key not in self._shared:
            self._shared[key] = compute()
        return self._shared[key]
