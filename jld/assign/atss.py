"""Adaptive training sample selection (ATSS), for all images, levels and boxes at once and without a sync.

Owns the choice of candidates, the threshold t_g and the assignment. Distillation regions reuse t_g, through
`Assignment.gt_thresholds` or `atss_thresholds`. Source: arXiv:1912.02424, algorithm 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from jld.assign.assignment import IGNORED, NEGATIVE, UNREACHABLE, Assignment, make_assignment
from jld.boxes.formats import box_centers, split_corners
from jld.boxes.overlaps import aligned_overlaps
from jld.errors import ConfigError
from jld.registry import ASSIGNERS
from jld.toolchain import jittor as jt

# A centre counts as inside a box when it is further than this from every side, in px.
MIN_INSET_PX = 0.01


@ASSIGNERS.register
class ATSSAssigner:
    """ATSS: candidates near the box's centre on every level, accepted from mean + deviation of their IoU.

    Args:
        topk: candidates per level and box.
        ignore_iof_thr: a prior is ignored when an ignored box covers more than this share of its area; 0 or
            less switches it off.
    Raises:
        ConfigError: topk below 1.
    Source: arXiv:1912.02424, algorithm 1.
    Differs: of equally distant candidates the one with the lowest index is taken (the reference: any).
    """

    def __init__(self, topk: int = 9, ignore_iof_thr: float = -1.0):
        if topk < 1:
            raise ConfigError(f"ATSSAssigner needs topk of at least 1, not {topk}: 9 is the published value.")
        self.topk = int(topk)
        self.ignore_iof_thr = ignore_iof_thr

    def __call__(self, priors, targets, valid_mask, num_classes: int) -> Assignment:
        """Assignment of a batch.

        Args:
            priors: Priors whose anchors of one cell share their centre.
            targets: Targets of the batch.
            valid_mask: [N, P] what `priors.valid_mask(targets.pad_shapes)` gives.
            num_classes: C, the label of background.
        """
        ignored = None
        if self.ignore_iof_thr > 0:
            ignored = overlaps_ignored(priors, targets, self.ignore_iof_thr)  # [N, P]
            candidates = _nearest_of_all(priors, targets, valid_mask, ignored, self.topk)
        else:
            candidates = nearest_in_window(priors, box_centers(targets.boxes), targets.pad_shapes, self.topk)
        iou, mask = _candidate_overlaps(priors, targets, candidates)
        thresholds = mean_plus_deviation(iou, mask)
        inset = inset_px(priors.centers[candidates.index], targets.boxes.unsqueeze(2))
        accepted = mask * (iou >= thresholds.unsqueeze(2)) * (inset > MIN_INSET_PX)
        gt_index, max_iou = _best_per_prior(candidates.index, iou, accepted, valid_mask.shape)
        if ignored is not None:
            gt_index = jt.ternary((gt_index < 0).logical_and(ignored > 0), IGNORED, gt_index)
        return make_assignment(gt_index, max_iou, targets, valid_mask, num_classes, thresholds)


def atss_thresholds(priors, targets, topk: int = 9):
    """[N, G] t_g of ATSS, for detectors whose assigner is another; `UNREACHABLE` in empty slots.

    Args:
        priors: Priors whose anchors of one cell share their centre.
        targets: Targets of the batch.
        topk: candidates per level and box.
    """
    candidates = nearest_in_window(priors, box_centers(targets.boxes), targets.pad_shapes, topk)
    return mean_plus_deviation(*_candidate_overlaps(priors, targets, candidates)).stop_grad()


@dataclass(frozen=True)
class Candidates:
    """M candidate places per box.

    Attributes:
        index: [N, G, M] int32 prior.
        mask: [N, G, M] 1 for places that are among the nearest of their level.
    """

    index: jt.Var
    mask: jt.Var


def nearest_in_window(priors, centers, pad_shapes: np.ndarray, topk: int) -> Candidates:
    """The priors of every level nearest to a point, without a look at the others.

    On a regular grid the k cells nearest to a point lie within the k nearest columns and the k nearest rows:
    a cell of any other column has k cells of its own row before it. Those columns are neighbours, so they
    follow from the point by arithmetic, shifted into the valid part of the level near and beyond its edges.

    Args:
        priors: Priors whose anchors of one cell share their centre.
        centers: [N, G, 2] the points, in px.
        pad_shapes: NumPy [N, 2] height, width in px; cells beyond are no candidates.
        topk: priors per level.
    """
    grid, per_cell = _Grid(priors, pad_shapes), priors.num_per_cell
    count = -(-topk // per_cell)  # k: the anchors of a cell are equally far, so few cells hold the nearest
    columns, dx, column_valid = grid.axis(centers[..., 0], 0, count)  # [N, G, L, k]
    rows, dy, row_valid = grid.axis(centers[..., 1], 1, count)
    valid = (row_valid.unsqueeze(4) * column_valid.unsqueeze(3)).flatten(3)  # [N, G, L, k * k]
    distance = (dy * dy).unsqueeze(4) + (dx * dx).unsqueeze(3)
    distance = jt.ternary(valid > 0, distance.flatten(3), UNREACHABLE * UNREACHABLE)
    # Ranks compare a number with itself: both sides have to be the same stored value.
    distance = distance.stop_fuse()
    rank = ascending_rank(distance)  # [N, G, L, k * k]
    cells = (rows * grid.widths).unsqueeze(4) + columns.unsqueeze(3)
    anchor = jt.arange(per_cell)
    index = grid.offsets + cells.flatten(3).unsqueeze(4) * per_cell + anchor  # [N, G, L, k * k, A]
    # The anchors of a cell together take the places rank * A ... rank * A + A - 1.
    mask = (rank.unsqueeze(4) * per_cell + anchor < topk).float32() * valid.unsqueeze(4)
    return Candidates(index.flatten(2), mask.flatten(2))


class _Grid:
    """Cell arithmetic of all levels, as arrays that broadcast with [N, G, L, k]."""

    def __init__(self, priors, pad_shapes: np.ndarray):
        sizes = np.asarray(priors.level_sizes, np.float32)[:, ::-1]  # [L, 2] width, height
        strides = np.asarray(priors.level_strides, np.float32)
        pads = np.asarray(pad_shapes, np.float32)[:, None, ::-1]  # [N, 1, 2] width, height
        self.valid = np.minimum(np.ceil(pads / strides[:, None]), sizes)  # [N, L, 2]
        self.strides = jt.array(strides)
        starts = np.asarray([section.start for section in priors.level_slices], np.int32)
        self.origin = priors.centers[jt.array(starts)]  # [L, 2] centre of each level's first cell
        self.offsets = jt.array(starts.reshape(1, 1, -1, 1, 1))
        self.widths = jt.array(sizes[:, 0].astype(np.int32).reshape(1, 1, -1, 1))

    def axis(self, centers, axis: int, count: int):
        """The `count` cells of each level nearest to a coordinate.

        Args:
            centers: [N, G] coordinate in px.
            axis: 0 for x, 1 for y.
            count: k.
        Returns:
            cell number int32, distance in px, 1 where the cell exists and is valid; each [N, G, L, k].
        """
        valid = jt.array(self.valid[:, None, :, axis])  # [N, 1, L]
        origin = self.origin[:, axis]
        position = (centers.unsqueeze(2) - origin) / self.strides  # [N, G, L] in cells
        last_start = jt.maximum(valid - count, 0.0)
        start = jt.minimum(jt.maximum(jt.ceil(position - count / 2), 0.0), last_start)
        cells = start.unsqueeze(3) + jt.arange(count).float32()
        distance = cells * self.strides.unsqueeze(1) + origin.unsqueeze(1) - centers.unsqueeze(2).unsqueeze(3)
        exists = cells < valid.unsqueeze(3)
        # Cells beyond a level smaller than k keep a legal number; `exists` removes them.
        return jt.minimum(cells, valid.unsqueeze(3) - 1.0).int32(), distance, exists.float32()


def ascending_rank(values):
    """[..., K] how many entries of the row come before this one in ascending order, ties by position."""
    mine, other = values.unsqueeze(-1), values.unsqueeze(-2)
    order = jt.arange(values.shape[-1])
    earlier = order.unsqueeze(0) < order.unsqueeze(1)
    return (other < mine).logical_or((other == mine).logical_and(earlier)).int32().sum(-1)


def _nearest_of_all(priors, targets, valid_mask, ignored, topk: int) -> Candidates:
    """The nearest priors of every level where ignored ones come last: no window bounds the search then."""
    centers = box_centers(targets.boxes)
    dx = priors.centers[:, 0] - centers[..., 0].unsqueeze(2)  # [N, G, P]
    dy = priors.centers[:, 1] - centers[..., 1].unsqueeze(2)
    distance = jt.ternary((ignored > 0).unsqueeze(1), UNREACHABLE * UNREACHABLE, dx * dx + dy * dy)
    distance = jt.ternary((valid_mask > 0).unsqueeze(1), distance, 2 * UNREACHABLE * UNREACHABLE)
    parts = []
    for section in priors.level_slices:
        order, _ = jt.argsort(distance[:, :, section], dim=-1)
        parts.append(order[:, :, :topk] + section.start)
    index = jt.concat(parts, dim=2).int32()  # [N, G, M]
    n, g, m = index.shape
    mask = valid_mask.reindex([n, g, m], ["i0", "@e0(i0,i1,i2)"], extras=[index])
    return Candidates(index, mask)


def _candidate_overlaps(priors, targets, candidates: Candidates):
    """IoU [N, G, M] of the candidates with their box, and 1 where box and candidate are real [N, G, M]."""
    iou = aligned_overlaps(priors.boxes[candidates.index], targets.boxes.unsqueeze(2))
    return iou, candidates.mask * targets.mask.unsqueeze(2)


def mean_plus_deviation(iou, mask):
    """t_g [N, G]: mean plus standard deviation (divisor count - 1) of the candidates' IoU [N, G, M]."""
    count = mask.sum(2)
    mean = (iou * mask).sum(2) / jt.maximum(count, 1.0)
    spread = (iou - mean.unsqueeze(2)) * mask
    deviation = jt.sqrt((spread * spread).sum(2) / jt.maximum(count - 1.0, 1.0))
    # One candidate has no deviation: the reference gets NaN there and hence no positive.
    return jt.ternary(count > 1.5, mean + deviation, UNREACHABLE)


def inset_px(points, boxes):
    """[...] distance in px from points [..., 2] to the nearest side of boxes [..., 4], negative outside."""
    x, y = points[..., 0], points[..., 1]
    x1, y1, x2, y2 = split_corners(boxes)
    return jt.minimum(jt.minimum(x - x1, x2 - x), jt.minimum(y - y1, y2 - y))


def _best_per_prior(index, iou, accepted, shape):
    """For every prior the accepted box of highest IoU, the first of them on a tie.

    Args:
        index: [N, G, M] prior of a candidate.
        iou: [N, G, M].
        accepted: [N, G, M] 1 or 0.
        shape: N, P.
    Returns:
        gt_index [N, P] int32 with -1 where no box is accepted, and its IoU [N, P], 0 there.
    """
    iou = iou.stop_fuse()  # compared for equality below
    place = ["i0", "@e0(i0,i1,i2)"]
    bids = jt.ternary(accepted > 0, iou, -1.0)
    best = jt.maximum(bids.reindex_reduce("maximum", list(shape), place, extras=[index]), 0.0)
    slots = index.shape[1]
    wins = (accepted > 0).logical_and(iou == best.reindex(list(index.shape), place, extras=[index]))
    claims = jt.ternary(wins, jt.arange(slots).unsqueeze(1), slots)
    first = claims.reindex_reduce("minimum", list(shape), place, extras=[index])
    return jt.ternary(first < slots, first, NEGATIVE), best


def overlaps_ignored(priors, targets, threshold: float):
    """[N, P] 1 where more than `threshold` of the prior's area lies inside one ignored box."""
    boxes = targets.boxes_ignore.unsqueeze(2)  # [N, Gi, 1, 4]
    share = aligned_overlaps(priors.boxes, boxes, "iof") * targets.ignore_mask.unsqueeze(2)
    return (share.max(1) > threshold).float32()
