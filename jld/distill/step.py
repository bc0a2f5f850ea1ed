"""What teachers and terms are told of one training step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from jld.boxes.places import Places
from jld.models.detectors import Detector
from jld.models.targets import Targets
from jld.models.trace import ROI, Trace
from jld.toolchain import jittor as jt


@dataclass(frozen=True)
class Step:
    """One batch on its way through the student.

    Attributes:
        images: [N, 3, H, W] as the student sees them.
        targets: ground truth of the batch.
        student: the detector that learns; a teacher may send features of its own through it.
        features: the student's pyramid maps.
        trace: what the student made of them; gradients flow into it.
        iteration: number of the step, 0 for the first.
    """

    images: jt.Var
    targets: Targets
    student: Detector
    features: Sequence[jt.Var]
    trace: Trace
    iteration: int = 0

    @property
    def rois(self) -> Places | None:
        """The RoIs that the student's second stage reads; None where it has none."""
        return self.trace.stages[ROI].places if ROI in self.trace.stages else None

    def detached(self) -> Step:
        """The same step, from which no gradient reaches the student."""
        trace = self.trace.detached()
        return dataclasses.replace(self, features=trace.features, trace=trace)
