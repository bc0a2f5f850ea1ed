"""The result of matching priors with ground truth, and the ways to build it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jld.toolchain import jittor as jt

if TYPE_CHECKING:
    from jld.assign.interfaces import GroundTruth

NEGATIVE = -1
IGNORED = -2
# Stands for infinity: kernels are compiled with -Ofast, which assumes that no real infinity occurs.
UNREACHABLE = 1e8


@dataclass(frozen=True)
class Assignment:
    """Which prior learns which object, for N images, P priors, G box slots and C classes.

    Attributes:
        gt_index: [N, P] int32 box slot of a positive, -1 negative, -2 ignored.
        labels: [N, P] int32 class of a positive, C (background) otherwise.
        positive_mask: [N, P] 1 for positives.
        label_weights: [N, P] 0 for ignored priors and for cells outside the image's padded area, else 1.
        max_iou: [N, P] ATSS: IoU with the assigned box, 0 without one; max-IoU: highest IoU with any box;
            FCOS: 0.
        gt_thresholds: [N, G] IoU from which ATSS accepts a prior for the box (t_g), `UNREACHABLE` for empty
            slots and for boxes with a single candidate; None for other assigners.
        num_total_pos: scalar, sum over the images of max(number of positives, 1).
        target_boxes: [N, P, 4] assigned box in px, or [N, P, 5] where the targets are rotated boxes; zeros
            where there is none.
    """

    gt_index: jt.Var
    labels: jt.Var
    positive_mask: jt.Var
    label_weights: jt.Var
    max_iou: jt.Var
    gt_thresholds: jt.Var | None
    num_total_pos: jt.Var
    target_boxes: jt.Var


def make_assignment(
    gt_index: jt.Var,
    max_iou: jt.Var,
    targets: GroundTruth,
    valid_mask: jt.Var,
    num_classes: int,
    gt_thresholds: jt.Var | None = None,
) -> Assignment:
    """Completes an Assignment from the matched box slots; no gradient flows through any of it.

    Args:
        gt_index: [N, P] int32 as in `Assignment`.
        max_iou: [N, P].
        targets: Targets of the batch.
        valid_mask: [N, P] 1 where the prior's cell lies inside the image's own padded area.
        num_classes: C, the label of background.
        gt_thresholds: [N, G] or None.
    """
    n, p = gt_index.shape
    positive_mask = (gt_index >= 0).float32()
    # Index -1 falls outside the slots and reads the overflow value: background, or a box of zeros.
    labels = targets.labels.reindex(
        [n, p], ["i0", "@e0(i0,i1)"], overflow_value=num_classes, extras=[gt_index]
    )
    boxes = targets.boxes.reindex(
        [n, p, targets.boxes.shape[2]], ["i0", "@e0(i0,i1)", "i2"], extras=[gt_index]
    )
    fields = {
        "gt_index": gt_index,
        "labels": labels,
        "positive_mask": positive_mask,
        "label_weights": valid_mask * (gt_index != IGNORED).float32(),
        "max_iou": max_iou,
        "gt_thresholds": gt_thresholds,
        "num_total_pos": jt.maximum(positive_mask.sum(1), 1.0).sum(),
        "target_boxes": boxes,
    }
    return Assignment(
        **{name: value if value is None else value.stop_grad() for name, value in fields.items()}
    )
