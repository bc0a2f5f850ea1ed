"""What the parts of a detector offer to whoever takes one as an argument."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from jld.registry import BACKBONES, HEADS, NECKS
from jld.toolchain import jittor as jt


@BACKBONES.interface
class Backbone(Protocol):
    """Images to stage maps, fine to coarse."""

    def __call__(self, images: jt.Var, /) -> Sequence[jt.Var]:
        """Maps [N, D_l, H_l, W_l] of images [N, 3, H, W]."""

    def load_pretrained(self) -> None:
        """Reads the weights that its config names, if any."""


@NECKS.interface
class Neck(Protocol):
    """Stage maps to pyramid maps of one width.

    Attributes:
        out_channels: D.
    """

    out_channels: int

    def __call__(self, maps: Sequence[jt.Var], /) -> Sequence[jt.Var]:
        """Pyramid maps [N, D, H_l, W_l], fine to coarse."""


@HEADS.interface
class Head(Protocol):
    """Pyramid maps to a stage of predictions; a dense one is a `DenseHead`."""

    @property
    def interface(self) -> Any:
        """What others may know of it, a StageInterface."""
