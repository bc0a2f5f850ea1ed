"""The task losses of the GFL family: quality as classification target, box and distribution losses.

What a head classifies with (logits or probabilities) is its own business; the rest is here once.
Source: arXiv:2006.04388, section 3.
"""

from __future__ import annotations

from jld.boxes.distances import bbox2distance
from jld.losses.reduction import Loss
from jld.models.boxes import DistributionBoxes, in_frame, targets_or_places
from jld.models.trace import Stage
from jld.ops.box_overlaps import box_overlaps
from jld.toolchain import jittor as jt
from jld.utils.distributed import mean_over_ranks

# Floor of the summed weights that divide the box losses.
MIN_WEIGHT_SUM = 1e-6


def gfl_losses(
    stage: Stage,
    boxes: DistributionBoxes,
    classification: jt.Var,
    *,
    loss_cls: Loss,
    loss_bbox: Loss,
    loss_dfl: Loss,
) -> dict[str, jt.Var]:
    """Task losses, dense over all priors and zero-weighted where they do not apply.

    With w the highest class score of a positive prior, a constant: `loss_cls` = QFL / N_pos, `loss_bbox` =
    sum w L_box / W, `loss_dfl` = sum w L_dfl / (4 W), where N_pos and W = sum w are averaged over ranks.

    Args:
        stage: with `box_logits` [N, P, 4, B] among its predictions, and an assignment.
        boxes: what they stand for.
        classification: [N, P, C] what `loss_cls` takes, logits or probabilities.
        loss_cls: quality focal loss, called with (labels, qualities).
        loss_bbox: box loss on corners in strides.
        loss_dfl: distribution focal loss on distances in strides.
    Returns:
        {"loss_cls", "loss_bbox", "loss_dfl"}: scalars, summed over levels and images; the box losses are zero
        where nothing is positive.
    """
    assignment, places, box_logits = stage.assigned, stage.places, stage.predictions[boxes.key]
    positive = assignment.positive_mask
    num_pos = jt.maximum(mean_over_ranks(assignment.num_total_pos.float32()), 1.0)
    weights = (stage.confidence() * positive).detach()  # [N, P]
    weight_sum = jt.maximum(mean_over_ranks(weights.sum()), MIN_WEIGHT_SUM)

    # Strides are the unit, as in the reference: its guards against division by zero are in this unit.
    predicted = boxes.decode(box_logits, places, "strides")
    wanted = in_frame(targets_or_places(places, assignment), places, "strides")
    quality = (box_overlaps(predicted, wanted) * positive).detach()
    centers = places.centers / places.strides.unsqueeze(-1)
    distances = bbox2distance(centers, wanted, boxes.num_bins - 1)
    return {
        "loss_cls": loss_cls(
            classification, (assignment.labels, quality), weight=assignment.label_weights, avg_factor=num_pos
        ),
        "loss_bbox": loss_bbox(predicted, wanted, weight=weights, avg_factor=weight_sum),
        "loss_dfl": loss_dfl(
            box_logits, distances, weight=weights, avg_factor=float(boxes.num_sides) * weight_sum
        ),
    }
