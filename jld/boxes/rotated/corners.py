"""Rotated boxes and quadrilaterals: corners of boxes, boxes around quadrilaterals, the order of corners.

Quadrilaterals ("polys") are eight numbers x1, y1, ..., x4, y4 in pixels.
"""

from __future__ import annotations

import math

import cv2
import numpy as np

from jld.boxes.rotated.angles import check_version, regularize_rboxes, wrap_angles
from jld.errors import DataError

# Half-edge signs of the corners: the top left first for angle 0, then clockwise on the screen.
CORNER_SIGNS = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
MIN_SIDE_PX = 2.0


def rboxes_to_polys(rboxes: np.ndarray) -> np.ndarray:
    """Corners of rotated boxes: centre + R(angle) (-w/2, -h/2), then (w/2, -h/2), (w/2, h/2), (-w/2, h/2).

    Args:
        rboxes: [..., 5] px and radians, any version.
    Returns:
        [..., 8] float64 px.
    """
    rboxes = np.asarray(rboxes, np.float64)
    offsets = CORNER_SIGNS * rboxes[..., None, 2:4]  # [..., 4, 2]
    cos, sin = np.cos(rboxes[..., 4:5]), np.sin(rboxes[..., 4:5])
    x = rboxes[..., 0:1] + cos * offsets[..., 0] - sin * offsets[..., 1]
    y = rboxes[..., 1:2] + sin * offsets[..., 0] + cos * offsets[..., 1]
    return np.stack([x, y], -1).reshape(*rboxes.shape[:-1], 8)


def shapes_to_polys(shapes: np.ndarray) -> np.ndarray:
    """Corners of objects in any form, which is told by how many numbers each has.

    Args:
        shapes: [K, 4] upright xyxy, [K, 5] rotated boxes or [K, 8] corners; px and radians.
    Returns:
        [K, 8] float64 px; upright boxes start at the top left and go clockwise on the screen.
    Raises:
        DataError: another shape.
    """
    shapes = np.asarray(shapes, np.float64)
    if shapes.size == 0:
        return np.zeros((0, 8))
    if shapes.ndim != 2 or shapes.shape[1] not in (4, 5, 8):
        raise DataError(f"boxes have shape {shapes.shape}; expected are [K, 4], [K, 5] or [K, 8].")
    if shapes.shape[1] == 5:
        return rboxes_to_polys(shapes)
    return shapes if shapes.shape[1] == 8 else shapes[:, [0, 1, 2, 1, 2, 3, 0, 3]]


def polys_to_rboxes(polys: np.ndarray, version: str) -> np.ndarray:
    """The rotated box of an annotated quadrilateral, as MMRotate's loader makes it for each version.

    oc and le90: the rectangle of least area around the corners. le135: centre between the first and the third
    corner, edge lengths of the first two edges, angle of the longer one; JDet does the same.

    Args:
        polys: [..., 8] px, corners in either sense of rotation.
        version: see `jld.boxes.rotated.angles`.
    Returns:
        [..., 5] float64 px and radians.
    Raises:
        ConfigError: unknown version.
    """
    polys = np.asarray(polys, np.float64)
    if check_version(version) == "le135":
        return edges_to_rboxes(polys, version)
    return regularize_rboxes(_least_rectangles(polys.reshape(-1, 8)), version).reshape(*polys.shape[:-1], 5)


def is_loadable(rboxes: np.ndarray, min_side_px: float = MIN_SIDE_PX) -> np.ndarray:
    """[...] bool: neither edge is below `min_side_px`; loaders drop the others (lines and points)."""
    return np.asarray(rboxes)[..., 2:4].min(-1) >= min_side_px


def _least_rectangles(polys: np.ndarray) -> np.ndarray:
    """[n, 5] rectangles of least area around [n, 8] polygons, angle as OpenCV gives it, in radians.

    OpenCV is asked, not a closed form: of three corners every edge gives a rectangle of the same area, so
    ties are common, and published boxes hold the one that OpenCV's float32 search prefers.
    """
    rectangles = np.zeros((len(polys), 5))
    for row, points in enumerate(np.ascontiguousarray(polys, np.float32).reshape(-1, 4, 2)):
        (cx, cy), (width, height), degrees = cv2.minAreaRect(points)
        rectangles[row] = cx, cy, width, height, math.radians(degrees)
    return rectangles


def edges_to_rboxes(polys: np.ndarray, version: str) -> np.ndarray:
    """Rotated boxes read off the first two edges of quadrilaterals: exact for rectangles and cheap.

    le90, le135: centre between the first and the third corner, angle of the longer edge, wrapped. oc: centre
    of all corners, angle of the first edge modulo pi/2, which here gives **[0, pi/2)** instead of (0, pi/2].

    Args:
        polys: [..., 8] px.
        version: see `jld.boxes.rotated.angles`.
    Returns:
        [..., 5] float64 px and radians.
    Raises:
        ConfigError: unknown version.
    Source: MMRotate's conversion of tensors, which differs from its loader on quadrilaterals that are no
        rectangles.
    """
    polys = np.asarray(polys, np.float64)
    points = polys.reshape(*polys.shape[:-1], 4, 2)
    first, second = points[..., 1, :] - points[..., 0, :], points[..., 2, :] - points[..., 1, :]
    first_length, second_length = np.linalg.norm(first, axis=-1), np.linalg.norm(second, axis=-1)
    if check_version(version) == "oc":
        centers = points.mean(-2)
        angles = np.arctan2(first[..., 1], first[..., 0]) % math.pi
        is_swapped = angles >= math.pi / 2
        angles = np.where(is_swapped, angles - math.pi / 2, angles)
        width = np.where(is_swapped, second_length, first_length)
        height = np.where(is_swapped, first_length, second_length)
    else:
        centers = (points[..., 0, :] + points[..., 2, :]) / 2
        other = points[..., 3, :] - points[..., 0, :]
        longer = np.where((first_length > second_length)[..., None], first, other)
        angles = wrap_angles(np.arctan2(longer[..., 1], longer[..., 0]), version)
        width, height = np.maximum(first_length, second_length), np.minimum(first_length, second_length)
    return np.concatenate([centers, np.stack([width, height, angles], -1)], -1)


def reorder_corners(polys: np.ndarray) -> np.ndarray:
    """The same quadrilaterals, starting at the corner that suits top left, top right, bottom right, bottom
    left best.

    Of the four cyclic orders the one is taken whose corners have the least summed distance to those of the
    upright box around them; result files of DOTA are written so.

    Args:
        polys: [..., 8] px.
    Returns:
        [..., 8] float64 px.
    """
    polys = np.asarray(polys, np.float64)
    points = polys.reshape(-1, 4, 2)
    low, high = points.min(1), points.max(1)
    upright = np.stack(
        [low, np.stack([high[:, 0], low[:, 1]], 1), high, np.stack([low[:, 0], high[:, 1]], 1)], 1
    )
    orders = (np.arange(4)[:, None] + np.arange(4)) % 4  # [shift, corner]
    distances = np.linalg.norm(points[:, orders] - upright[:, None], axis=-1).sum(-1)  # [n, 4]
    return points[np.arange(len(points))[:, None], orders[distances.argmin(1)]].reshape(polys.shape)
