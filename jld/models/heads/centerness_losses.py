"""The task losses of heads that rank boxes by their centerness: FCOS and ATSS.

Source: arXiv:1904.01355, section 3.2; arXiv:1912.02424.
"""

from __future__ import annotations

from jld.boxes.centerness import centerness
from jld.boxes.distances import bbox2distance
from jld.losses.reduction import Loss
from jld.models.boxes import BoxRepresentation, box_loss, targets_or_places
from jld.models.trace import Stage
from jld.toolchain import jittor as jt
from jld.utils.distributed import mean_over_ranks


def centerness_losses(
    stage: Stage,
    boxes: BoxRepresentation,
    num_pos: jt.Var,
    *,
    min_weight_sum: float,
    frame: str,
    loss_cls: Loss,
    loss_bbox: Loss,
    loss_centerness: Loss,
) -> dict[str, jt.Var]:
    """Task losses, dense over all places and zero-weighted where they do not apply.

    With c the centerness of a positive place: `loss_cls` = focal / N_pos, `loss_bbox` = sum c L_box / sum c,
    `loss_centerness` = sum of cross entropies against c / N_pos; sum c is averaged over ranks.

    Args:
        stage: with `cls_logits`, `centerness_logits` and the boxes' key among its predictions, and an
            assignment.
        boxes: what the box outputs stand for.
        num_pos: N_pos, scalar.
        min_weight_sum: floor of sum c.
        frame: what boxes are compared in, see `jld.models.boxes.FRAMES`.
        loss_cls: focal loss.
        loss_bbox: box loss on corners.
        loss_centerness: binary cross entropy.
    Returns:
        {"loss_cls", "loss_bbox", "loss_centerness"}: scalars, summed over levels and images; the last two are
        zero without positives.
    """
    assignment, predictions = stage.assigned, stage.predictions
    positive = assignment.positive_mask
    wanted = targets_or_places(stage.places, assignment)
    quality = (centerness(bbox2distance(stage.places.centers, wanted)) * positive).detach()  # [N, P]
    quality_sum = jt.maximum(mean_over_ranks(quality.sum()), min_weight_sum)
    return {
        "loss_cls": loss_cls(
            predictions["cls_logits"],
            assignment.labels,
            weight=assignment.label_weights,
            avg_factor=num_pos,
        ),
        "loss_bbox": box_loss(
            loss_bbox,
            boxes,
            predictions[boxes.key],
            stage.places,
            wanted,
            frame=frame,
            weight=quality,
            avg_factor=quality_sum,
        ),
        "loss_centerness": loss_centerness(
            predictions["centerness_logits"], quality, weight=positive, avg_factor=num_pos
        ),
    }
