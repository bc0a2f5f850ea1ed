"""Greedy suppression of quadrilaterals by exact overlap, all images and classes in one call."""

from __future__ import annotations

import numpy as np

from jld.boxes.rotated.candidates import pairs_within, shared_area_bounds
from jld.boxes.rotated.polygon_iou import intersection_areas, poly_areas


def nms_polys(
    polys: np.ndarray,
    scores: np.ndarray,
    iou_threshold: float | np.ndarray,
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """Keeps the best scored polygons, dropping those that overlap a kept one of their group by more than a
    threshold.

    Args:
        polys: [n, 8] px.
        scores: [n]; equal scores keep the order of the rows.
        iou_threshold: overlaps **above** it suppress; one number, or [n], where the suppressed row's own
            counts.
        groups: [n] integers, for example image * classes + class; rows of different groups never meet.
    Returns:
        kept rows, best score first.
    """
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    polys = np.asarray(polys, np.float64).reshape(-1, 8)[order]
    groups = np.zeros(len(order), np.int64) if groups is None else np.asarray(groups)[order]
    thresholds = np.broadcast_to(iou_threshold, len(order))[order]
    better, worse = pairs_within(polys, groups)
    areas = poly_areas(polys)
    joint, least = areas[better] + areas[worse], thresholds[worse]
    most = shared_area_bounds(polys[better], polys[worse], areas[better], areas[worse])
    possible = most > least * (joint - most)
    better, worse = better[possible], worse[possible]
    shared = intersection_areas(polys[better], polys[worse])
    suppresses = shared > thresholds[worse] * (areas[better] + areas[worse] - shared)
    return order[_greedy(len(order), better[suppresses], worse[suppresses])]


def _greedy(count: int, better: np.ndarray, worse: np.ndarray) -> np.ndarray:
    """Rows (already in order of the score) that survive, given who suppresses whom; `better` is ascending."""
    starts = np.searchsorted(better, np.arange(count + 1))
    is_alive = np.ones(count, bool)
    for row in np.unique(better):
        if is_alive[row]:
            is_alive[worse[starts[row] : starts[row + 1]]] = False
    return np.flatnonzero(is_alive)
