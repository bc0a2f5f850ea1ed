"""What assigners and their overlaps offer to whoever takes one as an argument."""

from __future__ import annotations

from typing import Any, Protocol

from jld.assign.assignment import Assignment
from jld.registry import ASSIGNERS, OVERLAPS


@ASSIGNERS.interface
class Assigner(Protocol):
    """Decides which place learns which object."""

    def __call__(self, places, targets, valid_mask, num_classes: int, /) -> Assignment:
        """The assignment of a batch; `valid_mask` [N, P] is 1 inside each image's own padded area."""


@OVERLAPS.interface
class Overlap(Protocol):
    """How `MaxIoUAssigner` compares boxes and places."""

    def match(self, places, targets, usable, /, *, min_pos_iou: float, assign_all: bool) -> Any:
        """(best IoU [N, P], its box slot [N, P], claiming box slot [N, P])."""

    def ignored(self, places, targets, threshold: float, /) -> Any:
        """[N, P] 1 where more than `threshold` of the place's area lies inside one ignored box."""
