"""Assignment by overlap thresholds, as RetinaNet and region proposal networks use it."""

from __future__ import annotations

from collections.abc import Sequence

from jld.assign.assignment import IGNORED, NEGATIVE, Assignment, make_assignment
from jld.assign.interfaces import GroundTruth, Overlap
from jld.assign.overlaps import HorizontalOverlap
from jld.boxes.places import Places
from jld.errors import ConfigError, one_of
from jld.registry import ASSIGNERS
from jld.toolchain import jittor as jt

# What a prior learns that a box was given because it has no better one.
LOW_QUALITY_BOXES = ("claiming", "own_best")
PADDINGS = ("excluded", "matched")


@ASSIGNERS.register
class MaxIoUAssigner:
    """Positive above one IoU threshold, negative below another, ignored between; boxes get their best prior.

    Args:
        pos_iou_thr: IoU from which a prior is positive for its best box.
        neg_iou_thr: IoU below which a prior is negative, or a pair low, high: negative in [low, high).
        min_pos_iou: a box is given its best prior when their IoU is at least this. With 0, a box that
            overlaps no prior is given all of them, as in the reference.
        match_low_quality: whether boxes are given their best prior at all; a later box overrules earlier
            ones.
        low_quality_box: what such a prior learns: the `claiming` box (mmDetection), or the box that it
            overlaps most, `own_best` (detectron2).
        gt_max_assign_all: all priors that tie for a box's best IoU, or the first only.
        ignore_iof_thr: a prior is ignored when an ignored box covers more than this share of its area; 0 or
            less switches it off.
        padding: priors of cells beyond an image's own padded area are `excluded` from the losses, or
            `matched` as all others (detectron2).
        overlaps: how boxes and priors are compared, see `jld.assign.overlaps`; None: as upright boxes.
    Raises:
        ConfigError: the negative range reaches above `pos_iou_thr`; unknown `low_quality_box` or `padding`.
    Source: mmDetection's MaxIoUAssigner, detectron2's Matcher; arXiv:1506.01497 section 3.1.2,
        arXiv:1708.02002 section 4.
    Differs: in an image with ignored boxes only, their priors stay ignored (reference: negative).
    """

    def __init__(
        self,
        pos_iou_thr: float = 0.5,
        neg_iou_thr: float | Sequence[float] = 0.4,
        min_pos_iou: float = 0.0,
        match_low_quality: bool = True,
        gt_max_assign_all: bool = True,
        ignore_iof_thr: float = -1.0,
        overlaps: Overlap | None = None,
        low_quality_box: str = "claiming",
        padding: str = "excluded",
    ):
        low, high = (0.0, neg_iou_thr) if isinstance(neg_iou_thr, int | float) else neg_iou_thr
        if not low <= high <= pos_iou_thr:
            raise ConfigError(
                f"MaxIoUAssigner: neg_iou_thr {neg_iou_thr} must rise and stay at or below "
                f"pos_iou_thr {pos_iou_thr}."
            )
        for option, value, choices in (
            ("low_quality_box", low_quality_box, LOW_QUALITY_BOXES),
            ("padding", padding, PADDINGS),
        ):
            one_of(value, choices, f"MaxIoUAssigner: {option} {value!r}")
        self.low_quality_box, self.padding = low_quality_box, padding
        self.pos_iou_thr, self.negative_range, self.min_pos_iou = pos_iou_thr, (low, high), min_pos_iou
        self.match_low_quality, self.gt_max_assign_all = match_low_quality, gt_max_assign_all
        self.ignore_iof_thr = ignore_iof_thr
        self.overlaps: Overlap = HorizontalOverlap() if overlaps is None else overlaps

    def __call__(
        self, places: Places, targets: GroundTruth, valid_mask: jt.Var, num_classes: int
    ) -> Assignment:
        """Assignment of a batch.

        Args:
            places: Places.
            targets: Targets of the batch.
            valid_mask: [N, P] what `places.valid_mask(targets.pad_shapes)` gives.
            num_classes: C, the label of background.
        """
        if self.padding == "matched":
            valid_mask = jt.ones_like(valid_mask) if places.mask is None else places.mask
        usable, ignored = valid_mask, None
        if self.ignore_iof_thr > 0:
            ignored = self.overlaps.ignored(places, targets, self.ignore_iof_thr)
            usable = valid_mask * (1.0 - ignored)
        best, first, claimed = self.overlaps.match(
            places, targets, usable, min_pos_iou=self.min_pos_iou, assign_all=self.gt_max_assign_all
        )
        low, high = self.negative_range
        without_boxes = (targets.mask.sum(1) < 0.5).unsqueeze(1)
        negative = (best < high).logical_and((best >= low).logical_or(without_boxes))
        index = jt.ternary(negative, NEGATIVE, IGNORED)
        index = jt.ternary(best >= self.pos_iou_thr, first, index)
        if self.match_low_quality:
            index = jt.ternary(claimed >= 0, claimed if self.low_quality_box == "claiming" else first, index)
        if ignored is not None:
            index = jt.ternary(ignored > 0, IGNORED, index)
        index = jt.ternary(valid_mask > 0, index, NEGATIVE)
        return make_assignment(index, jt.maximum(best, 0.0), targets, valid_mask, num_classes)
