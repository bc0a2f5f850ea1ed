"""What box coders and prior generators offer to whoever takes one as an argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from jld.registry import CODERS, PRIORS


@CODERS.interface
class BoxCoder(Protocol):
    """Boxes as offsets from an anchor, and back."""

    def encode(self, anchors, boxes, /) -> Any:
        """Deltas [..., num_values] that turn anchors into boxes, both in px."""

    def decode(self, anchors, deltas, /) -> Any:
        """Boxes in px from anchors and deltas."""


@PRIORS.interface
class PriorGenerator(Protocol):
    """Priors at every cell of a pyramid."""

    strides: Sequence[int]

    @property
    def num_per_cell(self) -> int:
        """Priors at one cell."""

    def priors(self, feature_sizes: Sequence[tuple[int, int]], /) -> Any:
        """The places of all levels, given each level's (height, width) in cells."""
