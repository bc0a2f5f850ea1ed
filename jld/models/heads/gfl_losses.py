"""The task losses of the GFL family: quality as classification target, box and distribution losses.

What a head classifies with (logits or probabilities) is its own business; the rest is here once.
Source: arXiv:2006.04388, section 3.
"""

from __future__ import annotations

from typing import Any

from jld.boxes.distances import bbox2distance, distance2bbox
from jld.models.heads.distribution import targets_or_priors
from jld.models.trace import Trace
from jld.ops.box_overlaps import box_overlaps
from jld.ops.expectation import expected_bins
from jld.toolchain import jittor as jt
from jld.utils.distributed import mean_over_ranks

# Floor of the summed weights that divide the box losses.
MIN_WEIGHT_SUM = 1e-6


def gfl_losses(
    trace: Trace,
    assignment: Any,
    classification: jt.Var,
    confidence: jt.Var,
    *,
    loss_cls,
    loss_bbox,
    loss_dfl,
) -> dict[str, jt.Var]:
    """Task losses, dense over all priors and zero-weighted where they do not apply.

    With w = sg(confidence) at positives: `loss_cls` = QFL / N_pos, `loss_bbox` = sum w L_box / W,
    `loss_dfl` = sum w L_dfl / (4 W), where N_pos and W = sum w are averaged over ranks.

    Args:
        trace: with `box_logits` [N, P, 4, B] among its predictions.
        assignment: Assignment of the trace's priors.
        classification: [N, P, C] what `loss_cls` takes, logits or probabilities.
        confidence: [N, P] highest class score; only its value is used.
        loss_cls: quality focal loss, called with (labels, qualities).
        loss_bbox: box loss on corners in strides.
        loss_dfl: distribution focal loss on distances in strides.
    Returns:
        {"loss_cls", "loss_bbox", "loss_dfl"}: scalars, summed over levels and images; the box losses are zero
        where nothing is positive.
    """
    priors, box_logits = trace.priors, trace.predictions["box_logits"]
    positive = assignment.positive_mask
    num_pos = jt.maximum(mean_over_ranks(assignment.num_total_pos.float32()), 1.0)
    weights = (confidence * positive).stop_grad()  # [N, P]
    weight_sum = jt.maximum(mean_over_ranks(weights.sum()), MIN_WEIGHT_SUM)

    # Strides are the unit, as in the reference: its guards against division by zero are in this unit.
    strides = priors.strides.unsqueeze(-1)  # [P, 1]
    centers = priors.centers / strides
    boxes = distance2bbox(centers, expected_bins(box_logits))
    target_boxes = targets_or_priors(priors.boxes, assignment) / strides
    quality = (box_overlaps(boxes, target_boxes) * positive).stop_grad()
    num_sides, num_bins = box_logits.shape[2:]
    distances = bbox2distance(centers, target_boxes, num_bins - 1)
    return {
        "loss_cls": loss_cls(
            classification, (assignment.labels, quality), weight=assignment.label_weights, avg_factor=num_pos
        ),
        "loss_bbox": loss_bbox(boxes, target_boxes, weight=weights, avg_factor=weight_sum),
        "loss_dfl": loss_dfl(box_logits, distances, weight=weights, avg_factor=float(num_sides) * weight_sum),
    }
