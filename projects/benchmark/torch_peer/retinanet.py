"""RetinaNet as detectron2 builds it: networks, anchors, matching and losses, with jld's parameter names.

Source: arXiv:1708.02002; detectron2 0.3 (frozen normalisations, strides in the first 1x1 convolution, P6 from
the backbone, losses divided by a moving average).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn
from torch.nn import functional

from .assignment import Targets, overlaps
from .networks import FPN, STRIDES, ConvModule, ResNet

SCALES, RATIOS = tuple(4 * 2 ** (k / 3) for k in range(3)), (0.5, 1.0, 2.0)
ANCHORS = len(SCALES) * len(RATIOS)
POSITIVE_IOU, NEGATIVE_IOU = 0.5, 0.4
ALPHA, MOMENTUM, FIRST_NORMALIZER = 0.25, 0.9, 100.0
DEPTH = 4

Outputs = tuple[torch.Tensor, torch.Tensor]
"""Class logits [N, P, C] and deltas [N, P, 4]."""


class RetinaHead(nn.Module):
    """Two towers without normalisation, nine anchors at every cell."""

    def __init__(self, channels: int, num_classes: int):
        super().__init__()
        self.cls_convs, self.reg_convs = (
            nn.ModuleList(ConvModule(channels, channels, 3) for _ in range(DEPTH)) for _ in range(2)
        )
        self.retina_cls = nn.Conv2d(channels, ANCHORS * num_classes, 3, padding=1)
        self.retina_reg = nn.Conv2d(channels, ANCHORS * 4, 3, padding=1)
        self.register_buffer("loss_normalizer", torch.full((1,), FIRST_NORMALIZER))

    def forward(self, levels: Sequence[torch.Tensor]) -> Outputs:
        """Predictions for the maps [N, D, H_l, W_l] of all levels."""
        sides = []
        for convs, last in ((self.cls_convs, self.retina_cls), (self.reg_convs, self.retina_reg)):
            rows = []
            for x in levels:
                for conv in convs:
                    x = functional.relu(conv(x), inplace=True)
                rows.append(
                    last(x).permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, last.out_channels // ANCHORS))
                )
            sides.append(torch.cat(rows, 1))
        return sides[0], sides[1]


class RetinaNet(nn.Module):
    """Backbone, neck and head."""

    def __init__(self, depth: int, base: int, channels: int, num_classes: int):
        super().__init__()
        self.backbone = ResNet(depth, base, caffe=True)
        self.neck = FPN(self.backbone.channels, channels, from_backbone=True)
        self.bbox_head = RetinaHead(channels, num_classes)
        for layer in self.backbone.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.requires_grad_(False)

    def features(self, images: torch.Tensor) -> list[torch.Tensor]:
        """The neck's maps of images [N, 3, H, W]."""
        return self.neck(self.backbone(images))

    def predict(self, maps: Sequence[torch.Tensor]) -> Outputs:
        """Predictions in float32, whatever the head computed in."""
        logits, deltas = self.bbox_head(maps)
        return logits.float(), deltas.float()

    def losses(self, outputs: Outputs, assignment: Assignment) -> dict[str, torch.Tensor]:
        """{"loss_cls", "loss_bbox"}; every call moves the average that they are divided by."""
        logits, deltas = outputs
        positive, index = assignment.positive, assignment.labels
        count = positive.sum().clamp(min=1)
        average = self.bbox_head.loss_normalizer
        average.mul_(MOMENTUM).add_((1 - MOMENTUM) * count)
        divisor = average[0].clone()  # the next call changes the average before this one's gradient is taken
        goals = functional.one_hot(index[assignment.counted], logits.shape[2] + 1)[:, :-1].to(logits.dtype)
        loss_cls = focal(logits[assignment.counted], goals).sum()
        loss_bbox = (deltas[positive] - assignment.deltas).abs().sum()
        return {"loss_cls": loss_cls / divisor, "loss_bbox": loss_bbox / divisor}


def focal(logits: torch.Tensor, goals: torch.Tensor) -> torch.Tensor:
    """[...] focal loss with one sigmoid per class, gamma 2."""
    probs = logits.sigmoid()
    entropy = functional.binary_cross_entropy_with_logits(logits, goals, reduction="none")
    miss = probs * (1 - goals) + (1 - probs) * goals
    return (ALPHA * goals + (1 - ALPHA) * (1 - goals)) * entropy * miss**2


@lru_cache(maxsize=64)
def make_anchors(height: int, width: int, device: str) -> torch.Tensor:
    """[P, 4] corners in px of the anchors of images of that size."""
    levels = []
    for stride in STRIDES:
        sides = torch.tensor([(s * r**-0.5, s * r**0.5) for s in SCALES for r in RATIOS]) * stride  # [A, 2]
        rows, columns = (torch.arange(math.ceil(size / stride)) * stride for size in (height, width))
        centers = torch.cartesian_prod(rows, columns).flip(1)[:, None]  # [H * W, 1, 2]
        levels.append(torch.cat([centers - sides / 2, centers + sides / 2], -1).flatten(0, 1))
    return torch.cat(levels).to(device)


@dataclass(frozen=True)
class Assignment:
    """Which anchor learns what.

    Attributes:
        positive: [N, P] True for positives.
        counted: [N, P] True where the classes are learned.
        labels: [N, P] class of a positive, C for background.
        deltas: [K, 4] of the positives.
    """

    positive: torch.Tensor
    counted: torch.Tensor
    labels: torch.Tensor
    deltas: torch.Tensor


@torch.no_grad()
def assign(anchors: torch.Tensor, targets: Targets, num_classes: int) -> Assignment:
    """By the highest IoU; an object's best anchors are positive for the object that they overlap most."""
    iou = overlaps(anchors, targets.boxes.unsqueeze(2))[1].masked_fill(~targets.mask.unsqueeze(2), -1.0)
    best, slot = iou.max(1)
    claimed = ((iou == iou.amax(2, keepdim=True)) & targets.mask.unsqueeze(2)).any(1)
    positive = (best >= POSITIVE_IOU) | claimed
    labels = torch.where(positive, targets.labels.gather(1, slot), num_classes)
    image, prior = positive.nonzero(as_tuple=True)
    deltas = encode(anchors[prior], targets.boxes[image, slot[image, prior]])
    return Assignment(positive, positive | (best < NEGATIVE_IOU), labels, deltas)


def encode(anchors: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
    """[K, 4] shifts of the centres in sides of the anchors, and logarithms of the ratios of the sides."""
    sides, own = (x[:, 2:] - x[:, :2] for x in (boxes, anchors))
    shift = (boxes[:, :2] + boxes[:, 2:] - anchors[:, :2] - anchors[:, 2:]) / 2
    return torch.cat([shift / own, (sides / own).log()], 1)
