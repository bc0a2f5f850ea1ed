"""From images to detections: selection per level, decoding, suppression inside every class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from .assignment import Priors, overlaps
from .losses import Outputs, decode

FIRST_LOOK = 4
"""Boxes per wanted one that suppression looks at first."""

Suppression = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, float, int], torch.Tensor]
"""(boxes [K, 4], scores [K], labels [K], IoU threshold, how many) -> indices of the kept ones, best first."""


@dataclass(frozen=True)
class Selection:
    """Which predictions become detections.

    Attributes:
        score_threshold: (box, class) pairs at or below it are dropped.
        nms_pre: boxes per level that are looked at, those of highest score.
        iou_threshold: a box goes when its IoU with a better one of its class is above this.
        max_per_image: detections per image.
    """

    score_threshold: float = 0.05
    nms_pre: int = 1000
    iou_threshold: float = 0.6
    max_per_image: int = 100


def find_suppression() -> tuple[str, Suppression]:
    """The compiled suppression of torchvision where that works, else `suppress`; with its name."""
    try:
        from torchvision.ops import batched_nms

        batched_nms(torch.rand(1, 4), torch.rand(1), torch.zeros(1, dtype=torch.int64), 0.5)
    # A torchvision built for another torch imports, and fails at the first call.
    except (ImportError, RuntimeError):
        return "plain torch", suppress
    return "torchvision", lambda boxes, scores, labels, threshold, most: batched_nms(
        boxes, scores, labels, threshold
    )[:most]


def suppress(
    boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, iou_threshold: float, most: int
) -> torch.Tensor:
    """Greedy suppression inside every class without a loop over boxes: the `Suppression` of plain torch.

    What becomes of a box depends on better ones only, so the best few are looked at first, and twice as many
    where too few of them are left.
    """
    order, count = scores.argsort(descending=True), FIRST_LOOK * most
    while True:
        best = order[:count]
        kept = best[_survivors(boxes[best], labels[best], iou_threshold)][:most]
        if len(kept) == most or count >= len(order):
            return kept
        count *= 2


def _survivors(boxes: torch.Tensor, labels: torch.Tensor, iou_threshold: float) -> torch.Tensor:
    """[K] True for the kept ones of boxes in falling order.

    A box stays unless a better one that stays covers it. Starting with all boxes and applying that rule to
    the current set settles the k best after k rounds at the latest, and usually everything after a few. Only
    pairs of one class are looked at.
    """
    better, worse = (labels[:, None] == labels[None]).triu(1).nonzero(as_tuple=True)
    covers = overlaps(boxes[better], boxes[worse])[1] > iou_threshold
    better, worse = better[covers], worse[covers]
    alive = torch.ones_like(labels, dtype=torch.bool)
    while True:
        survivors = torch.ones_like(alive)
        survivors[worse[alive[better]]] = False
        if torch.equal(survivors, alive):
            return alive
        alive = survivors


@torch.no_grad()
def detections(
    outputs: Outputs,
    priors: Priors,
    image_shapes: torch.Tensor,
    scale_factors: torch.Tensor,
    selection: Selection,
    suppression: Suppression,
) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Per image boxes [K, 4] in px of the original image, scores [K], labels [K], best first.

    Args:
        outputs: of the network.
        priors: of the network's input size.
        image_shapes: [N, 2] height, width in px, to clip to.
        scale_factors: [N, 4] of the resize.
        selection: thresholds and counts.
        suppression: see `find_suppression`.
    """
    scores = outputs[0].sigmoid()
    best, kept, start = scores.amax(2), [], 0
    for level in best.split(priors.counts, dim=1):
        kept.append(level.topk(min(selection.nms_pre, level.shape[1]), dim=1).indices + start)
        start += level.shape[1]
    index = torch.cat(kept, 1)  # [N, K]
    rows = torch.arange(len(index), device=index.device).unsqueeze(1)
    strides = priors.strides[index].unsqueeze(2)
    boxes = decode(outputs[1][rows, index], priors.centers[index] / strides) * strides
    limits = image_shapes.flip(1).repeat(1, 2).unsqueeze(1)  # width, height, width, height
    boxes = torch.minimum(boxes.clamp(min=0), limits) / scale_factors.unsqueeze(1)
    return [
        _of_image(*pair, selection=selection, suppression=suppression)
        for pair in zip(boxes, scores[rows, index])
    ]


def _of_image(
    boxes: torch.Tensor, scores: torch.Tensor, *, selection: Selection, suppression: Suppression
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    row, label = (scores > selection.score_threshold).nonzero(as_tuple=True)
    boxes, scores = boxes[row], scores[row, label]
    kept = suppression(boxes, scores, label, selection.iou_threshold, selection.max_per_image)
    return boxes[kept].cpu(), scores[kept].cpu(), label[kept].cpu()
