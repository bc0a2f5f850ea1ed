"""Boxes as four distances from a point: left, top, right, bottom.

Source: arXiv:1904.01355 (FCOS), arXiv:2006.04388 (GFL).
"""

from __future__ import annotations

import numpy as np

from jld.boxes.backend import Array, array_module
from jld.boxes.formats import clip_boxes, split_corners

# Boxes and distances are taken as two pairs, (left, top) and (right, bottom): one operator instead of one for
# every side, in Jittor. A pair lies this way from its point.
_SIGNS = np.array([[-1], [1]], np.float32)


def distance2bbox(points: Array, distances: Array, image_shape: tuple[float, float] | None = None) -> Array:
    """Corner boxes from points and their distances to the four sides.

    Args:
        points: [..., 2] x, y.
        distances: [..., 4] left, top, right, bottom, in the unit of `points`; leading axes broadcast.
        image_shape: height, width to clip to, or None.
    Returns:
        [..., 4] x1, y1, x2, y2
    """
    signs = array_module(distances).array(_SIGNS)
    pairs = distances.reshape(*distances.shape[:-1], 2, 2)
    pairs = points.reshape(*points.shape[:-1], 1, 2) + pairs * signs
    boxes = pairs.reshape(*pairs.shape[:-2], 4)
    return boxes if image_shape is None else clip_boxes(boxes, image_shape)


def bbox2distance(points: Array, boxes: Array, max_distance: float | None = None, eps: float = 0.1) -> Array:
    """Distances from points to the sides of boxes; the inverse of `distance2bbox`.

    Args:
        points: [..., 2] x, y.
        boxes: [..., 4] corners in the unit of `points`; leading axes broadcast.
        max_distance: when given, results are limited to [0, max_distance - eps] (the last bin must stay
            reachable from below, so that both neighbouring bins exist).
        eps: see `max_distance`.
    Returns:
        [..., 4] left, top, right, bottom; negative where the point lies outside and nothing is limited.
    """
    xp = array_module(boxes)
    pairs = boxes.reshape(*boxes.shape[:-1], 2, 2) - points.reshape(*points.shape[:-1], 1, 2)
    distances = pairs * xp.array(_SIGNS)
    if max_distance is not None:
        distances = xp.minimum(xp.maximum(distances, 0.0), float(max_distance - eps))
    return distances.reshape(*distances.shape[:-2], 4)


def inset_distance(points: Array, boxes: Array) -> Array:
    """[...] distance from points [..., 2] to the nearest side of boxes [..., 4], negative outside."""
    xp = array_module(boxes)
    x, y = points[..., 0], points[..., 1]
    x1, y1, x2, y2 = split_corners(boxes)
    return xp.minimum(xp.minimum(x - x1, x2 - x), xp.minimum(y - y1, y2 - y))
