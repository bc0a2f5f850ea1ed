"""Boxes as four distances from a point: left, top, right, bottom.

Source: arXiv:1904.01355 (FCOS), arXiv:2006.04388 (GFL).
"""

from __future__ import annotations

from jld.boxes.backend import array_module
from jld.boxes.formats import clip_boxes, split_corners


def distance2bbox(points, distances, image_shape: tuple[float, float] | None = None):
    """Corner boxes from points and their distances to the four sides.

    Args:
        points: [..., 2] x, y.
        distances: [..., 4] left, top, right, bottom, in the unit of `points`; leading axes broadcast.
        image_shape: height, width to clip to, or None.
    Returns:
        [..., 4] x1, y1, x2, y2
    """
    x, y = points[..., 0], points[..., 1]
    boxes = array_module(distances).stack(
        [x - distances[..., 0], y - distances[..., 1], x + distances[..., 2], y + distances[..., 3]], -1
    )
    return boxes if image_shape is None else clip_boxes(boxes, image_shape)


def bbox2distance(points, boxes, max_distance: float | None = None, eps: float = 0.1):
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
    x, y = points[..., 0], points[..., 1]
    distances = xp.stack([x - boxes[..., 0], y - boxes[..., 1], boxes[..., 2] - x, boxes[..., 3] - y], -1)
    if max_distance is None:
        return distances
    return xp.minimum(xp.maximum(distances, 0.0), float(max_distance - eps))


def inset_distance(points, boxes):
    """[...] distance from points [..., 2] to the nearest side of boxes [..., 4], negative outside."""
    xp = array_module(boxes)
    x, y = points[..., 0], points[..., 1]
    x1, y1, x2, y2 = split_corners(boxes)
    return xp.minimum(xp.minimum(x - x1, x2 - x), xp.minimum(y - y1, y2 - y))
