"""Corners and centres of upright boxes; nothing here knows angles."""

from __future__ import annotations

import numpy as np

from jld.boxes.backend import Array, array_module


def split_corners(boxes: Array) -> tuple[Array, Array, Array, Array]:
    """The four coordinates of boxes [..., 4] as a tuple x1, y1, x2, y2 of arrays [...]."""
    return boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


def xyxy_to_cxcywh(boxes: Array) -> Array:
    """Corners [..., 4] to centre x, centre y, width, height [..., 4]."""
    x1, y1, x2, y2 = split_corners(boxes)
    return array_module(boxes).stack([(x1 + x2) * 0.5, (y1 + y2) * 0.5, x2 - x1, y2 - y1], -1)


def cxcywh_to_xyxy(boxes: Array) -> Array:
    """Centre x, centre y, width, height [..., 4] to corners [..., 4]."""
    cx, cy, width, height = split_corners(boxes)
    return array_module(boxes).stack(
        [cx - width * 0.5, cy - height * 0.5, cx + width * 0.5, cy + height * 0.5], -1
    )


def box_areas(boxes: Array) -> Array:
    """Areas [...] of corner boxes [..., 4]; not clamped, so an inverted box gives a negative number."""
    x1, y1, x2, y2 = split_corners(boxes)
    return (x2 - x1) * (y2 - y1)


def clip_boxes(boxes: Array, image_shape: tuple[float, float] | np.ndarray) -> Array:
    """Boxes [..., 4] moved into [0, width] x [0, height] of an image.

    Args:
        boxes: [..., 4] corners in px.
        image_shape: height, width in px.
    """
    xp = array_module(boxes)
    height, width = float(image_shape[0]), float(image_shape[1])
    limits = (width, height, width, height)
    clipped = [
        xp.minimum(xp.maximum(c, 0.0), top) for c, top in zip(split_corners(boxes), limits, strict=True)
    ]
    return xp.stack(clipped, -1)
