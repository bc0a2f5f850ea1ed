"""Areas shared by convex quadrilaterals, for many pairs at once in NumPy float64."""

from __future__ import annotations

import numpy as np

# Pairs worked on at once: few enough for the processor's cache.
CHUNK = 8192


def signed_areas(points: np.ndarray) -> np.ndarray:
    """[n] areas px^2 of polygons [n, V, 2]; positive where the corners run clockwise on the screen."""
    x, y = points[..., 0] - points[..., :1, 0], points[..., 1] - points[..., :1, 1]
    return (x * np.roll(y, -1, -1) - np.roll(x, -1, -1) * y).sum(-1) / 2


def is_convex(points: np.ndarray) -> np.ndarray:
    """[n] bool: a quadrilateral [n, 4, 2] turns the same way at all corners and does not cross itself."""
    edges = np.roll(points, -1, 1) - points
    following = np.roll(edges, -1, 1)
    turns = edges[..., 0] * following[..., 1] - edges[..., 1] * following[..., 0]
    # Four turns to the same side close after one round; five would be needed to go round twice.
    return (turns >= 0).all(1) | (turns <= 0).all(1)


def convex_intersection_areas(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Area shared by each pair of convex quadrilaterals: one is cut along the four edges of the other.

    Args:
        first: [n, 4, 2] px, convex, corners in either sense.
        second: [n, 4, 2] likewise.
    Returns:
        [n] px^2.
    Source: Sutherland and Hodgman, Reentrant polygon clipping, 1974.
    """
    areas = np.zeros(len(first))
    for start in range(0, len(first), CHUNK):
        chunk = slice(start, start + CHUNK)
        areas[chunk] = _chunk_areas(first[chunk], second[chunk])
    return areas


def _chunk_areas(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    # Relative to the first box, so that no digits are lost to large coordinates.
    origin = first[:, :1]
    subject, window = first - origin, second - origin
    is_reversed = signed_areas(window) < 0
    window = np.where(is_reversed[:, None, None], window[:, ::-1], window)
    for corner in range(4):
        subject = _cut(subject, window[:, corner], window[:, (corner + 1) % 4])
    return np.abs(signed_areas(subject))


def _cut(subject: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """The part of convex polygons [n, V, 2] to the right of the lines start -> end [n, 2] (on the screen).

    All polygons get as many corners as the longest needs: V + 1, or more where rounding takes corners on the
    line to either side in turn. Free places repeat the first corner, which adds no area, and a polygon cut
    away entirely becomes the origin.
    """
    edge = end - start
    local = subject - start[:, None]
    sides = edge[:, None, 0] * local[..., 1] - edge[:, None, 1] * local[..., 0]  # [n, V]
    next_sides, next_points = np.roll(sides, -1, 1), np.roll(subject, -1, 1)
    is_inside, is_crossing = sides >= 0, (sides >= 0) != (next_sides >= 0)
    share = np.where(is_crossing, sides, 0.0) / np.where(is_crossing, sides - next_sides, 1.0)
    crossings = subject + share[..., None] * (next_points - subject)
    num_polygons, num_corners = sides.shape
    candidates = np.stack([subject, crossings], 2).reshape(num_polygons, 2 * num_corners, 2)
    is_corner = np.stack([is_inside, is_crossing], 2).reshape(num_polygons, 2 * num_corners)
    rows, columns = np.nonzero(is_corner)
    places = (np.cumsum(is_corner, 1) - 1)[rows, columns]
    first = candidates[np.arange(num_polygons), is_corner.argmax(1)] * is_corner.any(1)[:, None]
    result = np.repeat(first[:, None], max(int(is_corner.sum(1).max(initial=1)), 1), 1)
    result[rows, places] = candidates[rows, columns]
    return result
