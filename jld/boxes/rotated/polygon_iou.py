"""Exact overlaps of rotated boxes and quadrilaterals, in float64: what evaluation, merging and tests rely on.

Pairs that may overlap come from a sweep or a search tree over upright boxes (`candidates.py`); convex pairs
(all rotated boxes) are intersected in NumPy, the others (some hand-drawn annotations) by shapely.
"""

from __future__ import annotations

import numpy as np
import shapely

from jld.boxes.rotated.candidates import candidate_pairs
from jld.boxes.rotated.clipping import (
    convex_intersection_areas,
    is_convex,
    is_rectangle,
    rectangle_intersection_areas,
    signed_areas,
)
from jld.boxes.rotated.corners import rboxes_to_polys
from jld.errors import one_of

MODES = ("iou", "iof")
# Below this area (px^2) a box is a line or a point and overlaps nothing.
MIN_AREA = 1e-14


def polys_to_geometries(polys: np.ndarray) -> np.ndarray:
    """[n] shapely polygons of quadrilaterals [n, 8]; those that cross themselves are cut into valid parts."""
    geometries = shapely.polygons(np.asarray(polys, np.float64).reshape(-1, 4, 2))
    is_broken = ~shapely.is_valid(geometries)
    if is_broken.any():
        geometries[is_broken] = shapely.make_valid(geometries[is_broken])
    return geometries


def poly_areas(polys: np.ndarray) -> np.ndarray:
    """[n] areas px^2 of quadrilaterals [n, 8]; of crossing ones the sum of the parts."""
    points = np.asarray(polys, np.float64).reshape(-1, 4, 2)
    areas, is_simple = np.abs(signed_areas(points)), is_convex(points)
    areas[~is_simple] = shapely.area(polys_to_geometries(points[~is_simple]))
    return areas


def intersection_areas(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Area shared by row i of one and row i of the other.

    Args:
        first: [n, 8] px; second: [n, 8] px.
    Returns:
        [n] px^2.
    """
    first = np.asarray(first, np.float64).reshape(-1, 4, 2)
    second = np.asarray(second, np.float64).reshape(-1, 4, 2)
    areas, are_convex = np.zeros(len(first)), is_convex(first) & is_convex(second)
    is_framed = are_convex & is_rectangle(first)
    areas[is_framed] = rectangle_intersection_areas(first[is_framed], second[is_framed])
    is_cut = are_convex & ~is_framed
    areas[is_cut] = convex_intersection_areas(first[is_cut], second[is_cut])
    if not are_convex.all():
        parts = polys_to_geometries(first[~are_convex]), polys_to_geometries(second[~are_convex])
        areas[~are_convex] = shapely.area(shapely.intersection(*parts))
    return areas


def matched_poly_iou(first: np.ndarray, second: np.ndarray, mode: str = "iou") -> np.ndarray:
    """Overlap of row i of one with row i of the other.

    Args:
        first: [n, 8] px; second: [n, 8] px.
        mode: "iou": shared over joint area; "iof": shared area over that of `first`.
    Returns:
        [n] in [0, 1]; 0 where either has no area.
    Raises:
        ConfigError: unknown mode.
    """
    one_of(mode, MODES, f"unknown overlap mode {mode!r}")
    shared = intersection_areas(first, second)
    first_areas, second_areas = poly_areas(first), poly_areas(second)
    whole = first_areas + second_areas - shared if mode == "iou" else first_areas
    has_area = (first_areas >= MIN_AREA) & (second_areas >= MIN_AREA)
    return np.where(has_area, np.clip(shared / np.where(has_area, whole, 1.0), 0, 1), 0.0)


def pairwise_poly_iou(first: np.ndarray, second: np.ndarray, mode: str = "iou") -> np.ndarray:
    """Overlap of every row of one with every row of the other.

    Args:
        first: [n, 8] px; second: [m, 8] px.
        mode: see `matched_poly_iou`.
    Returns:
        [n, m] in [0, 1].
    Raises:
        ConfigError: unknown mode.
    """
    first, second = np.reshape(first, (-1, 8)), np.reshape(second, (-1, 8))
    overlaps = np.zeros((len(first), len(second)))
    rows, columns = candidate_pairs(first, second)
    overlaps[rows, columns] = matched_poly_iou(first[rows], second[columns], mode)
    return overlaps


def pairwise_rbox_iou(first: np.ndarray, second: np.ndarray, mode: str = "iou") -> np.ndarray:
    """[n, m] overlaps of rotated boxes [n, 5] and [m, 5]; see `pairwise_poly_iou`."""
    return pairwise_poly_iou(
        rboxes_to_polys(np.reshape(first, (-1, 5))), rboxes_to_polys(np.reshape(second, (-1, 5))), mode
    )


def matched_rbox_iou(first: np.ndarray, second: np.ndarray, mode: str = "iou") -> np.ndarray:
    """[n] overlaps of rotated boxes [n, 5] with [n, 5], row by row; see `matched_poly_iou`."""
    return matched_poly_iou(
        rboxes_to_polys(np.reshape(first, (-1, 5))), rboxes_to_polys(np.reshape(second, (-1, 5))), mode
    )
