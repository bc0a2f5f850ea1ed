"""Areas shared by quadrilaterals, for many pairs at once in NumPy float64.

Two ways: a closed form where one of the two is a rectangle (all rotated boxes), and cutting one convex
quadrilateral along the edges of the other.
"""

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


def is_rectangle(points: np.ndarray) -> np.ndarray:
    """[n] bool: opposite edges of a quadrilateral [n, 4, 2] are equal and neighbours perpendicular, up to
    rounding; rectangles without area are not among them.
    """
    edges = np.roll(points, -1, 1) - points
    lengths = np.abs(edges[:, :2]).sum(-1)
    skew = np.abs(edges[:, 0] + edges[:, 2]).sum(-1) + np.abs(edges[:, 1] + edges[:, 3]).sum(-1)
    turn = np.abs((edges[:, 0] * edges[:, 1]).sum(-1))
    # Rounding of the corners leaves an error of the size of the coordinates, not of the box.
    noise = 1e-14 * (1 + np.abs(points).max((1, 2)))
    is_square = (skew <= 8 * noise) & (turn <= 8 * noise * lengths.sum(-1))
    return is_square & (lengths.min(-1) > 1e6 * noise)


def rectangle_intersection_areas(rectangles: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    """Area that each rectangle shares with a simple polygon, without a list of corners.

    In the frame of the rectangle, with half edges w and h, it is the integral of clamp(y, -h, h) along the
    polygon's boundary where -w <= x <= w: the clamped upper minus the clamped lower boundary is the height
    they share at x. Along an edge the integrand has three straight pieces. The compiled operators of rotated
    boxes use the same form.

    Args:
        rectangles: [n, 4, 2] px, see `is_rectangle`.
        polygons: [n, V, 2] px, without crossings, in either sense.
    Returns:
        [n] px^2.
    """
    areas = np.zeros(len(rectangles))
    for start in range(0, len(rectangles), CHUNK):
        chunk = slice(start, start + CHUNK)
        areas[chunk] = _framed_areas(rectangles[chunk], polygons[chunk])
    return areas


def _framed_areas(rectangles: np.ndarray, polygons: np.ndarray) -> np.ndarray:
    sides = rectangles[:, 1] - rectangles[:, 0], rectangles[:, 3] - rectangles[:, 0]
    lengths = np.hypot(*sides[0].T), np.hypot(*sides[1].T)
    # The direction comes from the longer side: rounding of the corners turns a short one.
    is_first = (lengths[0] >= lengths[1])[:, None]
    width, height = np.maximum(*lengths), np.minimum(*lengths)
    right = np.where(is_first, *sides) / width[:, None]
    down, w, h = np.stack([-right[:, 1], right[:, 0]], 1), width / 2, height / 2
    offsets = polygons - rectangles.mean(1, keepdims=True)
    # [V, n] each: the arithmetic below runs along the pairs.
    x = np.ascontiguousarray((offsets * right[:, None]).sum(-1).T)
    y = np.ascontiguousarray((offsets * down[:, None]).sum(-1).T)
    dx, dy = np.roll(x, -1, 0) - x, np.roll(y, -1, 0) - y
    slope, inverse = (_quotient(*pair) for pair in ((dy, dx), (dx, dy)))
    x_start = np.clip(x, -w, w)
    x_end = np.roll(x_start, -1, 0)
    y_start = np.clip(y + (x_start - x) * slope, -h, h)
    y_end = np.clip(y + (x_end - x) * slope, -h, h)
    # Between two points the edge is inside the strip; before and after them the integrand is constant.
    left, last = np.minimum(x_start, x_end), np.maximum(x_start, x_end)
    middle = np.clip(x + (y_start - y) * inverse, left, last)
    middle += np.clip(x + (y_end - y) * inverse, left, last)
    middle /= 2
    integral = (y_start * (middle - x_start) + y_end * (x_end - middle)).sum(0)
    return np.minimum(np.abs(integral), width * height)


def _quotient(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """0 where the denominator is too small for the edge to matter in this direction."""
    is_long = np.abs(denominator) > 1e-12
    return np.where(is_long, numerator, 0.0) / np.where(is_long, denominator, 1.0)


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
