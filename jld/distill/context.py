"""What one training step offers to the distillation terms, computed at most once.

Owns the sharing: a region, a score map or a divergence that several terms ask for is computed for the first
of them and handed to the others. Knows no term and no head beyond the documented keys of `predictions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from jld.toolchain import jittor as jt


class StepContext:
    """Everything a region or a term may read in one step, from the student and one teacher.

    Args:
        student, teacher, assignment, targets: see the attributes.
        regions: {name: region object}.
        shared: values that do not depend on the teacher, kept over the contexts of one step when there are
            several teachers.
    Attributes:
        student: Trace of the student; gradients flow into it.
        teacher: Trace of the teacher, without gradient, or None while regions are computed for a picture.
        assignment: Assignment of the student's assigner.
        targets: Targets of the batch.
        priors: the student's Priors.
    """

    def __init__(
        self,
        student,
        teacher,
        assignment,
        targets,
        regions: dict[str, Callable],
        *,
        shared: dict[Any, Any] | None = None,
    ):
        self.student = student
        self._teacher = teacher
        self._was_teacher_read = False
        self.assignment = assignment
        self.targets = targets
        self.priors = student.priors
        self._regions = regions
        self._cache: dict[Any, Any] = {}
        self._shared = {} if shared is None else shared

    @property
    def teacher(self):
        """The teacher's Trace. A region that reads it is computed for every teacher, others once per step."""
        self._was_teacher_read = True
        return self._teacher

    @property
    def valid_mask(self):
        """[N, P] 1 where the prior lies inside the image's own padded area."""
        return self._shared_value("valid_mask", lambda: self.priors.valid_mask(self.targets.pad_shapes))

    def region(self, name: str):
        """[N, P] soft weight of the region called `name`, 0 outside; no gradient."""
        key = ("region", name)
        if key in self._shared:
            return self._shared[key]
        if key not in self._cache:
            before, self._was_teacher_read = self._was_teacher_read, False
            weights = self._regions[name](self).stop_grad()
            (self._cache if self._was_teacher_read else self._shared)[key] = weights
            self._was_teacher_read |= before
            return weights
        self._was_teacher_read = True  # for a region that is made of this one
        return self._cache[key]

    def student_scores(self):
        """[N, P] the student's highest class score per prior, without gradient (w_i of the LD papers)."""
        return self._shared_value("student_scores", lambda: _max_scores(self.student.predictions))

    def feature_levels(self) -> Iterator[tuple[int, Any, Any]]:
        """(level of the student, its map, the teacher's map) of every stride both networks have.

        Maps are [N, D, H_l, W_l]; D may differ.
        """
        given = self.teacher.priors.level_strides
        for level, stride in enumerate(self.priors.level_strides):
            if stride in given:
                yield level, self.student.features[level], self.teacher.features[given.index(stride)]

    def cached(self, key, compute: Callable[[], Any]) -> Any:
        """`compute()` of the first call with this key in this step and for this teacher."""
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]

    def computed_regions(self) -> dict[str, Any]:
        """{name: [N, P]} of the regions some term asked for so far."""
        found = (self._shared | self._cache).items()
        return {key[1]: value for key, value in found if isinstance(key, tuple) and key[0] == "region"}

    def depends_on_teacher(self, region: str) -> bool:
        """Whether a computed region was made with what this teacher predicts."""
        return ("region", region) in self._cache

    def _shared_value(self, key, compute: Callable[[], Any]) -> Any:
        if key not in self._shared:
            self._shared[key] = compute()
        return self._shared[key]


def _max_scores(predictions: dict) -> Any:
    if "scores" in predictions:  # heads whose score is not the sigmoid of cls_logits (GFLv2)
        return predictions["scores"].max(dim=-1).stop_grad()
    # The sigmoid is monotone: reduce first, then one sigmoid per prior instead of one per class.
    return jt.sigmoid(predictions["cls_logits"].max(dim=-1)).stop_grad()
