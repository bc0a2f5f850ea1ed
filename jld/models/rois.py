"""Regions of interest as `Places`: boxes of each image, padded to one number, each on a pyramid level."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jld.boxes.formats import split_corners
from jld.boxes.places import Places
from jld.ops.roi_align import pyramid_levels, roi_align
from jld.toolchain import jittor as jt


@dataclass(frozen=True)
class RoIPooler:
    """Crops of boxes from the pyramid level that suits their size.

    Attributes:
        strides: px per cell of the levels that are read, fine to coarse; coarser ones are left out.
        sampling_ratio: see `roi_align`.
        canonical_px: a box of this side reads the level of stride 16.
        aligned: see `roi_align`; False is torchvision's.
    Source: arXiv:1612.03144, equation 1; mmDetection's SingleRoIExtractor, detectron2's ROIPooler.
    """

    strides: tuple[int, ...] = (4, 8, 16, 32)
    sampling_ratio: int = 0
    canonical_px: float = 224.0
    aligned: bool = True

    def describe(self) -> str:
        """How a RoI finds its level."""
        aligned = "" if self.aligned else ", crops not aligned"
        return f"strides {self.strides}, {self.canonical_px:g} px on 16{aligned}"

    def places(self, boxes: jt.Var, mask: jt.Var) -> Places:
        """RoIs of boxes [N, R, 4] in px where the mask [N, R] is 1; the other slots hold a box of a pixel."""
        # Any proper box keeps logarithms and divisions finite in slots that nothing reads.
        empty = (1.0 - mask).unsqueeze(2)
        boxes = (boxes * mask.unsqueeze(2) + empty * jt.array([0.0, 0.0, 1.0, 1.0])).detach()
        x1, y1, x2, y2 = split_corners(boxes)
        levels = pyramid_levels(boxes, self.strides, self.canonical_px)
        return Places(
            boxes=boxes,
            centers=jt.stack([(x1 + x2) * 0.5, (y1 + y2) * 0.5], -1),
            strides=jt.array(np.array(self.strides, np.float32))[levels],
            levels=levels,
            level_strides=self.strides,
            mask=mask.detach(),
        )

    def crops(self, features: Sequence[jt.Var], rois: Places, size: int) -> jt.Var:
        """[N * R, D, size, size] features of the RoIs, zeros in empty slots."""
        levels = rois.levels if rois.mask is None else jt.ternary(rois.mask > 0, rois.levels, -1)
        found = roi_align(
            features[: len(self.strides)], rois.boxes, levels, self.strides,
            size=size, sampling_ratio=self.sampling_ratio, aligned=self.aligned,
        )  # fmt: skip
        return found.reshape(-1, *found.shape[2:])
