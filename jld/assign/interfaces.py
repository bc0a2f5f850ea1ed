"""What assigners, their overlaps and regions offer, and what they read of the layers above."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from jld.assign.assignment import Assignment
from jld.boxes.places import Places
from jld.registry import ASSIGNERS, OVERLAPS
from jld.toolchain import jittor as jt


class GroundTruth(Protocol):
    """The objects of a batch, see `jld.models.Targets`."""

    @property
    def boxes(self) -> jt.Var: ...

    @property
    def labels(self) -> jt.Var: ...

    @property
    def mask(self) -> jt.Var: ...

    @property
    def boxes_ignore(self) -> jt.Var: ...

    @property
    def ignore_mask(self) -> jt.Var: ...

    @property
    def pad_shapes(self) -> np.ndarray: ...


class Predicted(Protocol):
    """What a network predicts at the places, see `jld.models.Stage`."""

    def probabilities(self) -> jt.Var:
        """[N, P, C] the score of every class in [0, 1]."""

    def boxes(self) -> jt.Var:
        """[N, P, 4 or 5] the predicted boxes in px of the network input."""


class RegionContext(Protocol):
    """What regions read of a training step, see `jld.distill.context.StepContext`."""

    @property
    def places(self) -> Places: ...

    @property
    def targets(self) -> GroundTruth: ...

    @property
    def assignment(self) -> Assignment: ...

    @property
    def valid_mask(self) -> jt.Var: ...

    @property
    def student(self) -> Predicted: ...

    @property
    def teacher(self) -> Predicted: ...


class Region(Protocol):
    """Chooses places; it may have `num_sides`, `requires`, `needs_grid`, see `jld.assign.regions`."""

    def __call__(self, context: RegionContext, /) -> jt.Var:
        """[N, P] the weight of every place, 0 outside."""


@ASSIGNERS.interface
class Assigner(Protocol):
    """Decides which place learns which object."""

    def __call__(
        self, places: Places, targets: GroundTruth, valid_mask: jt.Var, num_classes: int, /
    ) -> Assignment:
        """The assignment of a batch.

        `valid_mask` [N, P] is 1 for priors inside each image's own padded area, or for real RoIs. An assigner
        that needs the cells of a pyramid asks `jld.boxes.places.on_grid` for them.
        """


@OVERLAPS.interface
class Overlap(Protocol):
    """How `MaxIoUAssigner` compares boxes and places."""

    def match(
        self, places: Places, targets: GroundTruth, usable: jt.Var, /, *, min_pos_iou: float, assign_all: bool
    ) -> tuple[jt.Var, jt.Var, jt.Var]:
        """(best IoU [N, P], its box slot [N, P], claiming box slot [N, P])."""

    def ignored(self, places: Places, targets: GroundTruth, threshold: float, /) -> jt.Var:
        """[N, P] 1 where more than `threshold` of the place's area lies inside one ignored box."""
