"""What backbones and necks offer to the detector that takes them as arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from jld.registry import BACKBONES, NECKS
from jld.toolchain import jittor as jt


@BACKBONES.interface
class Backbone(Protocol):
    """Images to stage maps."""

    def __call__(self, images: jt.Var, /) -> Sequence[jt.Var]:
        """Stage maps, fine to coarse, of images [N, 3, H, W]."""

    def load_pretrained(self) -> None:
        """Reads the ImageNet weights that the config names."""


@NECKS.interface
class Neck(Protocol):
    """Stage maps to pyramid maps of one width.

    Attributes:
        out_channels: D of every pyramid map.
    """

    out_channels: int

    def __call__(self, maps: Sequence[jt.Var], /) -> Sequence[jt.Var]:
        """Pyramid maps [N, D, H_l, W_l], fine to coarse."""
