"""Boxes as offsets from an anchor (R-CNN, arXiv:1311.2524, appendix C), on NumPy arrays and Jittor Vars."""

from __future__ import annotations

import math
from collections.abc import Sequence

from jld.boxes.backend import Array, array_module
from jld.boxes.formats import clip_boxes, split_corners, xyxy_to_cxcywh
from jld.registry import CODERS


@CODERS.register
class DeltaBoxCoder:
    """Shift of the centre relative to the anchor's size, and log ratio of the sizes.

    Args:
        means: subtracted from the raw deltas dx, dy, dw, dh.
        stds: the raw deltas are divided by them.
        size_ratio_clip: decoded sizes stay within [this, 1 / this] times the anchor's size.
        clip_shrinking: the limit also holds from below (mmDetection); otherwise sizes may become arbitrarily
            small (detectron2).
        clip_border: decode clips to the image when it is told the image's shape.
    Source: arXiv:1311.2524; the limit on the log ratio follows mmDetection's DeltaXYWHBBoxCoder.
    """

    num_values = 4

    def __init__(
        self,
        means: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0),
        size_ratio_clip: float = 16 / 1000,
        clip_border: bool = True,
        clip_shrinking: bool = True,
    ):
        self.means, self.stds = tuple(means), tuple(stds)
        self.max_log_ratio = abs(math.log(size_ratio_clip))
        self.clip_border, self.clip_shrinking = clip_border, clip_shrinking

    def encode(self, anchors: Array, boxes: Array) -> Array:
        """Deltas [..., 4] that turn anchors [..., 4] into boxes [..., 4]; both in px and of positive size."""
        xp = array_module(boxes)
        anchor_x, anchor_y, anchor_w, anchor_h = split_corners(xyxy_to_cxcywh(anchors))
        x, y, width, height = split_corners(xyxy_to_cxcywh(boxes))
        raw = (
            (x - anchor_x) / anchor_w,
            (y - anchor_y) / anchor_h,
            xp.log(width / anchor_w),
            xp.log(height / anchor_h),
        )
        return xp.stack([(v - m) / s for v, m, s in zip(raw, self.means, self.stds, strict=True)], -1)

    def decode(self, anchors: Array, deltas: Array, image_shape: tuple[float, float] | None = None) -> Array:
        """Corner boxes [..., 4] in px from anchors [..., 4] and deltas [..., 4].

        Args:
            anchors: corners in px.
            deltas: what `encode` returns or a network predicts.
            image_shape: height, width to clip to (with `clip_border`), or None.
        """
        xp = array_module(deltas)
        values = zip(split_corners(deltas), self.means, self.stds, strict=True)
        dx, dy, dw, dh = (v * s + m for v, m, s in values)
        anchor_x, anchor_y, anchor_w, anchor_h = split_corners(xyxy_to_cxcywh(anchors))
        limit = self.max_log_ratio
        if self.clip_shrinking:
            dw, dh = xp.maximum(dw, -limit), xp.maximum(dh, -limit)
        half_w = anchor_w * xp.exp(xp.minimum(dw, limit)) * 0.5
        half_h = anchor_h * xp.exp(xp.minimum(dh, limit)) * 0.5
        x, y = anchor_x + anchor_w * dx, anchor_y + anchor_h * dy
        boxes = xp.stack([x - half_w, y - half_h, x + half_w, y + half_h], -1)
        return boxes if image_shape is None or not self.clip_border else clip_boxes(boxes, image_shape)
