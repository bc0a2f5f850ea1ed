"""Task losses of GFL and the terms of localization distillation, on the rows they apply to.

Source: arXiv:2006.04388 (quality and distribution focal loss), arXiv:1902.09630 (GIoU), arXiv:2102.12252
(distillation; weights and reductions are those of configs/_base_/distill/full.py).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from .assignment import EPS, Assignment, Priors, Targets, areas, overlaps

BOX_WEIGHT, DFL_WEIGHT = 2.0, 0.25
LD_WEIGHT, VLR_WEIGHT, LD_TEMPERATURE = 0.75, 0.1875, 10.0
KD_WEIGHT, KD_TEMPERATURE = 10.0, 2.0
LAST_BIN_MARGIN = 0.1

Outputs = tuple[torch.Tensor, torch.Tensor]
"""Class logits [N, P, C] and box logits [N, P, 4, B]."""


def decode(box_logits: torch.Tensor, centers: torch.Tensor) -> torch.Tensor:
    """Corners [..., 4] from distributions [..., 4, B]; the unit is the bin, for `centers` [..., 2] too."""
    bins = torch.arange(box_logits.shape[-1], dtype=box_logits.dtype, device=box_logits.device)
    distances = box_logits.softmax(-1) @ bins
    return torch.cat([centers - distances[..., :2], centers + distances[..., 2:]], -1)


def task_losses(
    outputs: Outputs, priors: Priors, targets: Targets, assignment: Assignment
) -> dict[str, torch.Tensor]:
    """{"loss_cls", "loss_bbox", "loss_dfl"}."""
    cls_logits, box_logits = outputs
    image, prior = assignment.positive_rows  # [K]
    slot = assignment.gt_index[image, prior]
    strides = priors.strides[prior].unsqueeze(1)
    centers = priors.centers[prior] / strides
    target_boxes = targets.boxes[image, slot] / strides
    logits = box_logits[image, prior]  # [K, 4, B]
    boxes = decode(logits, centers)
    weights = cls_logits.detach()[image, prior].amax(1).sigmoid()
    weight_sum = weights.sum().clamp(min=EPS)
    quality = overlaps(boxes.detach(), target_boxes)[1]
    goals = torch.zeros_like(cls_logits)
    goals[image, prior, targets.labels[image, slot]] = quality
    num_positive = assignment.positive.sum(1).clamp(min=1).sum()
    distances = torch.cat([centers - target_boxes[:, :2], target_boxes[:, 2:] - centers], 1)
    return {
        "loss_cls": (_quality_focal(cls_logits, goals) * assignment.valid).sum() / num_positive,
        "loss_bbox": BOX_WEIGHT * (_giou_loss(boxes, target_boxes) * weights).sum() / weight_sum,
        "loss_dfl": DFL_WEIGHT * (_distribution_focal(logits, distances) * weights).sum() / weight_sum,
    }


def distillation_losses(
    student: Outputs, teacher: Outputs, priors: Priors, assignment: Assignment, region: torch.Tensor
) -> dict[str, torch.Tensor]:
    """{"loss_ld", "loss_ld_vlr", "loss_kd"}: localization on positives and region, classes on positives."""
    images = len(region)
    main, valuable = assignment.positive_rows, region.nonzero(as_tuple=True)
    confidence = student[0].detach()[main].amax(1).sigmoid()

    def localization(rows: tuple[torch.Tensor, ...], weights: torch.Tensor) -> torch.Tensor:
        divergence = soft_divergence(student[1][rows], teacher[1][rows], LD_TEMPERATURE)  # [K, 4]
        return (divergence.mean(1) * weights).sum() / images

    classes = soft_divergence(student[0][main], teacher[0][main], KD_TEMPERATURE)  # [K]
    levels, num_levels = priors.levels[main[1]], len(priors.counts)
    sums = classes.new_zeros(num_levels).index_add(0, levels, classes)
    counts = torch.zeros_like(sums).index_add(0, levels, torch.ones_like(classes)).clamp(min=1)
    return {
        "loss_ld": LD_WEIGHT * localization(main, confidence),
        "loss_ld_vlr": VLR_WEIGHT * localization(valuable, region[valuable]),
        "loss_kd": KD_WEIGHT * (sums / counts).sum(),
    }


def soft_divergence(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """[...] mean over the last axis of the softened KL divergence, times the squared temperature."""
    log_student = functional.log_softmax(student / temperature, -1)
    wanted = functional.softmax(teacher / temperature, -1)
    return functional.kl_div(log_student, wanted, reduction="none").mean(-1) * temperature**2


def total(losses: Sequence[torch.Tensor]) -> torch.Tensor:
    """Their sum."""
    return torch.stack(list(losses)).sum()


def _quality_focal(logits: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
    """[N, P] sum over the classes."""
    entropy = functional.binary_cross_entropy_with_logits(logits, goals, reduction="none")
    return (entropy * (goals - logits.sigmoid()) ** 2).sum(-1)


def _giou_loss(boxes: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """[K]"""
    intersection, iou = overlaps(boxes, targets)
    union = (areas(boxes) + areas(targets) - intersection).clamp(min=EPS)
    sides = torch.maximum(boxes[:, 2:], targets[:, 2:]) - torch.minimum(boxes[:, :2], targets[:, :2])
    outer = (sides[:, 0] * sides[:, 1]).clamp(min=EPS)
    return 1 - iou + (outer - union) / outer


def _distribution_focal(logits: torch.Tensor, distances: torch.Tensor) -> torch.Tensor:
    """[K] mean over the sides of logits [K, 4, B] and distances [K, 4] in bins."""
    distances = distances.clamp(0, logits.shape[-1] - 1 - LAST_BIN_MARGIN).unsqueeze(-1)
    left = distances.floor()
    near = torch.cat([left, left + 1], -1).long()  # [K, 4, 2]
    shares = torch.cat([left + 1 - distances, distances - left], -1)
    return -(functional.log_softmax(logits, -1).gather(-1, near) * shares).sum(-1).mean(-1)
