"""What box coders and prior generators offer to whoever takes one as an argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jld.boxes.backend import Array
from jld.boxes.places import GridPlaces
from jld.registry import CODERS, PRIORS


@CODERS.interface
class BoxCoder(Protocol):
    """Boxes as offsets from an anchor, and back.

    Attributes:
        num_values: numbers that describe one box.
    """

    num_values: int

    def encode(self, anchors: Array, boxes: Array, /) -> Array:
        """Deltas [..., num_values] that turn anchors into boxes, both in px."""

    def decode(self, anchors: Array, deltas: Array, /) -> Array:
        """Boxes in px from anchors and deltas."""


@PRIORS.interface
class PriorGenerator(Protocol):
    """Priors at every cell of a pyramid.

    Attributes:
        strides: px per cell, fine to coarse.
        center_offset: position of a prior's centre inside its cell, in strides.
    """

    strides: Sequence[int]
    center_offset: float

    @property
    def num_per_cell(self) -> int:
        """Priors at one cell."""

    @property
    def shapes(self) -> tuple[str, ...]:
        """Width x height of the priors at one cell, in strides; equal texts, equal shapes."""

    def priors(self, feature_sizes: Sequence[tuple[int, int]], /) -> GridPlaces:
        """The places of all levels, given each level's (height, width) in cells."""
