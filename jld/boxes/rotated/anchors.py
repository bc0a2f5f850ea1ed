"""Rotated anchors: those of the upright generator, described by centre, size and the angle 0."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jld.boxes.backend import Array
from jld.boxes.priors import AnchorGenerator
from jld.registry import PRIORS


@PRIORS.register
class RotatedAnchorGenerator(AnchorGenerator):
    """Anchors [P, 5] of several scales and aspect ratios at every cell, with the angle 0 in every version.

    Args:
        strides, octave_base_scale, scales_per_octave, ratios, center_offset: see `AnchorGenerator`.
        center_shift_px: added to both coordinates of every centre. mmRotate's anchors have neither offset nor
            shift; JDet's centres at (stride - 1) / 2 are `center_offset=0.5, center_shift_px=-0.5`.
    Raises:
        ConfigError: no stride or no ratio.
    Source: mmRotate's generator of that name, defaults of rotated RetinaNet.
    """

    def __init__(
        self,
        strides: Sequence[int] = (8, 16, 32, 64, 128),
        octave_base_scale: float = 4,
        scales_per_octave: int = 3,
        ratios: Sequence[float] = (1.0, 0.5, 2.0),
        center_offset: float = 0.0,
        center_shift_px: float = 0.0,
    ):
        super().__init__(strides, octave_base_scale, scales_per_octave, ratios, center_offset)
        self.center_shift_px = center_shift_px

    def centers(self, boxes: Array) -> Array:
        return boxes[:, :2]

    def level_boxes(
        self, stride: int, size: tuple[int, int], input_size: Sequence[int] | None = None
    ) -> np.ndarray:
        base = self.base_anchors(stride)
        sides = base[:, 2:] - base[:, :2]  # [A, 2]
        rows, columns = np.mgrid[: size[0], : size[1]].astype(np.float32)
        centers = np.stack([columns, rows], -1) * stride + self.center_offset * stride + self.center_shift_px
        boxes = np.zeros((*size, len(sides), 5), np.float32)
        boxes[..., :2], boxes[..., 2:4] = centers[:, :, None], sides
        return boxes.reshape(-1, 5)
