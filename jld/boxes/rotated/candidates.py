"""Which of many boxes may overlap: pairs whose upright boxes touch, found without looking at all pairs."""

from __future__ import annotations

import numpy as np
import shapely

from jld.boxes.rotated.upright import polys_to_xyxy

# A sweep looks at all pairs that touch along x. Beyond this many per box a search tree is faster.
SWEEP_PAIRS_PER_BOX = 16


def candidate_pairs(
    first: np.ndarray,
    second: np.ndarray,
    first_groups: np.ndarray | None = None,
    second_groups: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of both lists whose upright boxes touch, optionally only within the same group (image, class,
    ...).

    Args:
        first: [n, 8] px; second: [m, 8] px.
        first_groups: [n] integers; second_groups: [m] integers.
    Returns:
        two index arrays [number of pairs], ordered by the row of `first`, then of `second`.
    """
    if not len(first) or not len(second):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    everything = polys_to_xyxy(np.concatenate([first, second]))
    if first_groups is not None:
        everything = _in_strips(everything, np.concatenate([first_groups, second_groups]))
    boxes, others = everything[: len(first)], everything[len(first) :]
    pairs = _sweep(boxes, others)
    if pairs is None:
        pairs = shapely.STRtree(shapely.box(*others.T)).query(shapely.box(*boxes.T))
    rows, columns = pairs
    order = np.lexsort((columns, rows))
    return rows[order], columns[order]


def pairs_within(polys: np.ndarray, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows of one list whose upright boxes touch, within the same group; each pair once.

    Args:
        polys: [n, 8] px.
        groups: [n] integers.
    Returns:
        two index arrays [number of pairs], the first the smaller, ordered by it.
    """
    if not len(polys):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    boxes = _in_strips(polys_to_xyxy(polys), groups)
    by_start = np.argsort(boxes[:, 0], kind="stable")
    ends = np.searchsorted(boxes[by_start, 0], boxes[by_start, 2], "right")
    starts = np.arange(1, len(boxes) + 1)
    if (ends - starts).sum() > SWEEP_PAIRS_PER_BOX * len(boxes):
        shapes = shapely.box(*boxes.T)
        first, second = shapely.STRtree(shapes).query(shapes)
    else:
        first, second = (by_start[places] for places in _ranges(starts, ends))
        touch = (boxes[first, 1] <= boxes[second, 3]) & (boxes[second, 1] <= boxes[first, 3])
        first, second = first[touch], second[touch]
        first, second = np.minimum(first, second), np.maximum(first, second)
    once = first < second
    order = np.argsort(first[once], kind="stable")
    return first[once][order], second[once][order]


def _in_strips(boxes: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Boxes [n, 4] with a strip of the x axis for each group: one search serves all images and classes."""
    low = boxes[:, 0].min()
    _, numbers = np.unique(groups, return_inverse=True)
    return boxes + np.array([1, 0, 1, 0]) * (numbers * (boxes[:, 2].max() - low + 1))[:, None]


def _sweep(boxes: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Pairs of boxes [n, 4] and others [m, 4] that touch; None where too many touch along x.

    Of two intervals that touch, one starts inside the other: pairs are found by the one that starts later.
    """
    by_start, others_by_start = np.argsort(boxes[:, 0]), np.argsort(others[:, 0])
    starts, other_starts = boxes[by_start, 0], others[others_by_start, 0]
    later = np.searchsorted(other_starts, boxes[:, 0]), np.searchsorted(other_starts, boxes[:, 2], "right")
    earlier = np.searchsorted(starts, others[:, 0], "right"), np.searchsorted(starts, others[:, 2], "right")
    count = (later[1] - later[0]).sum() + np.maximum(earlier[1] - earlier[0], 0).sum()
    if count > SWEEP_PAIRS_PER_BOX * (len(boxes) + len(others)):
        return None
    rows, places = _ranges(*later)
    other_rows, other_places = _ranges(*earlier)
    rows = np.concatenate([rows, by_start[other_places]])
    columns = np.concatenate([others_by_start[places], other_rows])
    touch = (boxes[rows, 1] <= others[columns, 3]) & (others[columns, 1] <= boxes[rows, 3])
    return rows[touch], columns[touch]


def _ranges(starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row i as often as its range starts[i]:ends[i] is long, and all numbers of the ranges, in order."""
    counts = np.maximum(ends - starts, 0)
    rows = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return rows, np.arange(len(rows)) + (starts - before)[rows]


def shared_area_bounds(
    first: np.ndarray, second: np.ndarray, first_areas: np.ndarray, second_areas: np.ndarray
) -> np.ndarray:
    """What the areas shared by row i of one and row i of the other cannot exceed.

    Args:
        first: [n, 8] px; second: [n, 8] px.
        first_areas: [n] px^2; second_areas: [n] px^2.
    Returns:
        [n] px^2: the least of both areas and of what their upright boxes share.
    """
    boxes, others = polys_to_xyxy(first), polys_to_xyxy(second)
    sides = np.minimum(boxes[:, 2:], others[:, 2:]) - np.maximum(boxes[:, :2], others[:, :2])
    return np.minimum(np.maximum(sides, 0).prod(1), np.minimum(first_areas, second_areas))
