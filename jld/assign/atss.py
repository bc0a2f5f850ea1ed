"""Adaptive training sample selection (ATSS), for all images, levels and boxes at once and without a sync.

Owns the choice of candidates, the threshold t_g and the assignment. Distillation regions reuse t_g, through
`Assignment.gt_thresholds` or `atss_thresholds`. Source: arXiv:1912.02424, algorithm 1.
"""

from __future__ import annotations

import numpy as np

from jld.assign.assignment import IGNORED, UNREACHABLE, Assignment, make_assignment
from jld.assign.interfaces import GroundTruth
from jld.boxes.overlaps import aligned_overlaps
from jld.boxes.places import GridPlaces, Places, on_grid
from jld.errors import ConfigError
from jld.ops.atss_match import atss_match
from jld.ops.nearest_priors import nearest_priors
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

    def __call__(
        self, places: Places, targets: GroundTruth, valid_mask: jt.Var, num_classes: int
    ) -> Assignment:
        """Assignment of a batch.

        Args:
            places: GridPlaces whose anchors of one cell share their centre.
            targets: Targets of the batch.
            valid_mask: [N, P] what `places.valid_mask(targets.pad_shapes)` gives.
            num_classes: C, the label of background.
        """
        places, ignored = on_grid(places), None
        if self.ignore_iof_thr > 0:
            ignored = overlaps_ignored(places, targets, self.ignore_iof_thr)  # [N, P]
        gt_index, max_iou, thresholds = _match(places, targets, self.topk, ignored)
        if ignored is not None:
            gt_index = jt.ternary((gt_index < 0).logical_and(ignored > 0), IGNORED, gt_index)
        return make_assignment(gt_index, max_iou, targets, valid_mask, num_classes, thresholds)


def atss_thresholds(places: GridPlaces, targets: GroundTruth, topk: int = 9) -> jt.Var:
    """[N, G] t_g of ATSS, for detectors whose assigner is another; `UNREACHABLE` in empty slots.

    Args:
        places: GridPlaces whose anchors of one cell share their centre.
        targets: Targets of the batch.
        topk: candidates per level and box.
    """
    return _match(places, targets, topk)[2].stop_grad()


def _match(
    places: GridPlaces, targets: GroundTruth, topk: int, ignored: jt.Var | None = None
) -> tuple[jt.Var, jt.Var, jt.Var]:
    """Box slot [N, P], its IoU [N, P] and t_g [N, G], see `atss_match`."""
    index, mask = nearest_candidates(places, targets.boxes, targets, topk, ignored)
    return atss_match(
        places.boxes, targets.boxes, index, mask, min_inset_px=MIN_INSET_PX, unreachable=UNREACHABLE
    )


def nearest_candidates(
    places: GridPlaces, boxes: jt.Var, targets: GroundTruth, topk: int, ignored: jt.Var | None = None
) -> tuple[jt.Var, jt.Var]:
    """The `topk` priors of every level nearest to each box's centre, with equal distances the first ones.

    Args:
        places: GridPlaces whose anchors of one cell share their centre.
        boxes: [N, G, 4] corners or [N, G, 5] rotated boxes in px, in the slots of `targets`.
        targets: Targets of the batch; cells beyond an image's padded area are no candidates.
        topk: candidates per level and box.
        ignored: [N, P] 1 for priors that are candidates only where a level has too few others, or None.
    Returns:
        index [N, G, L * topk] int32, mask [N, G, L * topk]; see `nearest_priors`.
    """
    sizes = np.asarray(places.level_sizes)  # [L, 2] height, width in cells
    strides = np.asarray(places.level_strides)
    pads = np.asarray(targets.pad_shapes)[:, None]  # [N, 1, 2] height, width in px
    grid = np.empty((len(pads), len(sizes), 5), np.int32)
    grid[..., 0] = [section.start for section in places.level_slices]
    grid[..., 1] = sizes[:, 1]
    grid[..., 3:1:-1] = np.minimum(np.ceil(pads / strides[:, None]), sizes)
    grid[..., 4] = strides
    return nearest_priors(
        places.centers, boxes, targets.mask, jt.array(grid),
        topk=topk, num_per_cell=places.num_per_cell, late=ignored,
    )  # fmt: skip


def overlaps_ignored(places: Places, targets: GroundTruth, threshold: float) -> jt.Var:
    """[N, P] 1 where more than `threshold` of the prior's area lies inside one ignored box."""
    boxes = targets.boxes_ignore.unsqueeze(2)  # [N, Gi, 1, 4]
    share = aligned_overlaps(places.boxes.unsqueeze(1), boxes, "iof") * targets.ignore_mask.unsqueeze(2)
    return (share.max(1) > threshold).float32()
