"""What one training step offers to the distillation terms, computed at most once.

Owns the sharing: a region, a score map or a divergence that several terms ask for is computed for the first
of them and handed to the others. Knows no term and no head beyond the documented keys of `predictions`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jld.toolchain import jittor as jt


class StepContext:
    """Everything a region or a term may read in one step.

    Attributes:
        student: Trace of the student; gradients flow into it.
        teacher: Trace of the teacher, without gradient, or None while regions are computed for a picture.
        assignment: Assignment of the student's assigner.
        targets: Targets of the batch.
        priors: the student's Priors.
        valid_mask: [N, P] 1 where the prior lies inside the image's own padded area.
    """

    def __init__(self, student, teacher, assignment, targets, regions: dict[str, Callable]):
        self.student = student
        self.teacher = teacher
        self.assignment = assignment
        self.targets = targets
        self.priors = student.priors
        self.valid_mask = student.priors.valid_mask(targets.pad_shapes)
        self._regions = regions
        self._cache: dict[Any, Any] = {}

    def region(self, name: str):
        """[N, P] soft weight of the region called `name`, 0 outside; no gradient."""
        return self.cached(("region", name), lambda: self._regions[name](self).stop_grad())

    def student_scores(self):
        """[N, P] the student's highest class score per prior, without gradient (w_i of the LD papers)."""
        return self.cached("student_scores", lambda: _max_scores(self.student.predictions))

    def cached(self, key, compute: Callable[[], Any]) -> Any:
        """`compute()` of the first call with this key in this step."""
        if key not in self._cache:
            self._cache[key] = compute()
        return self._cache[key]

    def computed_regions(self) -> dict[str, Any]:
        """{name: [N, P]} of the regions some term asked for so far."""
        return {
            key[1]: value
            for key, value in self._cache.items()
            if isinstance(key, tuple) and key[0] == "region"
        }


def _max_scores(predictions: dict) -> Any:
    if "scores" in predictions:  # heads whose score is not the sigmoid of cls_logits (GFLv2)
        return predictions["scores"].max(dim=-1).stop_grad()
    # The sigmoid is monotone: reduce first, then one sigmoid per prior instead of one per class.
    return jt.sigmoid(predictions["cls_logits"].max(dim=-1)).stop_grad()
