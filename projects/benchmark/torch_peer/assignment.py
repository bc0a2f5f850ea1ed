"""Priors, ATSS and the valuable localization region, over all images, objects and levels at once.

Source: arXiv:1912.02424 (ATSS), arXiv:2102.12252 (the region, with the gate of the released code).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch

TOPK = 9
PRIOR_SIDE_STRIDES = 8
MIN_INSET_PX = 0.01
GAMMA = 0.25
EPS = 1e-6


@dataclass(frozen=True)
class Priors:
    """One square prior per cell, fine to coarse, row by row.

    Attributes:
        boxes: [P, 4] corners in px.
        centers: [P, 2] in px.
        strides: [P] px.
        levels: [P] number of the level.
        cells: [P, 2] row and column.
        counts: priors of every level.
    """

    boxes: torch.Tensor
    centers: torch.Tensor
    strides: torch.Tensor
    levels: torch.Tensor
    cells: torch.Tensor
    counts: tuple[int, ...]


@lru_cache(maxsize=64)
def make_priors(height: int, width: int, strides: Sequence[int], device: str) -> Priors:
    """The priors of images of that size in px."""
    cells = []
    for stride in strides:
        rows, columns = torch.arange(math.ceil(height / stride)), torch.arange(math.ceil(width / stride))
        cells.append(torch.cartesian_prod(rows, columns))  # [H * W, 2]
    counts = tuple(len(level) for level in cells)
    levels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    stride_of = torch.tensor(strides, dtype=torch.float32)[levels]
    cells = torch.cat(cells)
    centers = cells.flip(1) * stride_of[:, None]
    half = stride_of[:, None] * PRIOR_SIDE_STRIDES / 2
    boxes = torch.cat([centers - half, centers + half], 1)
    return Priors(*(x.to(device) for x in (boxes, centers, stride_of, levels, cells)), counts)


@dataclass(frozen=True)
class Targets:
    """Objects of N images in G slots.

    Attributes:
        boxes: [N, G, 4] corners in px.
        labels: [N, G] integers.
        mask: [N, G] True where a slot holds an object.
        pad_shapes: [N, 2] height, width in px; cells beyond belong to no image.
    """

    boxes: torch.Tensor
    labels: torch.Tensor
    mask: torch.Tensor
    pad_shapes: torch.Tensor


@dataclass(frozen=True)
class Assignment:
    """Which prior learns which object.

    Attributes:
        positive: [N, P] True for positives.
        gt_index: [N, P] slot of a positive.
        valid: [N, P] True for cells inside the image's own padded area.
        thresholds: [N, G] IoU from which a candidate is accepted, infinite where nothing can be.
        intersection, iou: [N, G, P] of every prior with every box, for the region.
    """

    positive: torch.Tensor
    gt_index: torch.Tensor
    valid: torch.Tensor
    thresholds: torch.Tensor
    intersection: torch.Tensor
    iou: torch.Tensor

    @cached_property
    def positive_rows(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Image and prior of every positive, each [K]; found once, because a GPU has to be waited for."""
        return self.positive.nonzero(as_tuple=True)


def areas(boxes: torch.Tensor) -> torch.Tensor:
    """[...] areas of boxes [..., 4]."""
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def overlaps(first: torch.Tensor, second: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Intersection and IoU [...] of boxes [..., 4] that broadcast."""
    corner = torch.maximum(first[..., :2], second[..., :2])
    sides = (torch.minimum(first[..., 2:], second[..., 2:]) - corner).clamp(min=0)
    intersection = sides[..., 0] * sides[..., 1]
    union = areas(first) + areas(second) - intersection
    return intersection, intersection / union.clamp(min=EPS)


@torch.no_grad()
def assign(priors: Priors, targets: Targets) -> Assignment:
    """ATSS: near candidates of every level, accepted from the mean plus the deviation of their IoU."""
    boxes = targets.boxes.unsqueeze(2)  # [N, G, 1, 4]
    intersection, iou = overlaps(priors.boxes, boxes)
    limits = torch.ceil(targets.pad_shapes[:, None] / priors.strides[:, None])  # [N, P, 2]
    valid = (priors.cells < limits).all(-1)
    offsets = priors.centers - (boxes[..., :2] + boxes[..., 2:]) / 2  # [N, G, P, 2]
    distance = torch.linalg.vector_norm(offsets, dim=-1).masked_fill(~valid[:, None], torch.inf)
    nearest, start = [], 0
    for level in distance.split(priors.counts, dim=2):
        count = level.shape[2]
        nearest.append(level.topk(min(TOPK, count), dim=2, largest=False).indices + start)
        start += count
    index = torch.cat(nearest, 2)  # [N, G, M]
    is_real = distance.gather(2, index).isfinite() & targets.mask.unsqueeze(2)
    candidate_iou = iou.gather(2, index)
    thresholds = _thresholds(candidate_iou, is_real)
    centers = priors.centers[index]
    inset = torch.cat([centers - boxes[..., :2], boxes[..., 2:] - centers], -1).amin(-1)
    accepted = is_real & (candidate_iou >= thresholds.unsqueeze(2)) & (inset > MIN_INSET_PX)
    bids = torch.full_like(iou, -1.0).scatter_(2, index, candidate_iou.masked_fill(~accepted, -1.0))
    best, gt_index = bids.max(1)
    return Assignment(best >= 0, gt_index, valid, thresholds, intersection, iou)


def _thresholds(iou: torch.Tensor, is_real: torch.Tensor) -> torch.Tensor:
    count = is_real.sum(2)
    mean = (iou * is_real).sum(2) / count.clamp(min=1)
    squares = ((iou - mean.unsqueeze(2)) ** 2 * is_real).sum(2)
    deviation = (squares / (count - 1).clamp(min=1)).sqrt()
    return torch.where(count > 1, mean + deviation, torch.inf)


@torch.no_grad()
def valuable_region(priors: Priors, targets: Targets, assignment: Assignment) -> torch.Tensor:
    """[N, P] highest IoU among the boxes whose band holds the prior, 0 outside the region."""
    boxes, own = targets.boxes.unsqueeze(2), priors.boxes
    outer = torch.maximum(own[..., 2:], boxes[..., 2:]) - torch.minimum(own[..., :2], boxes[..., :2])
    shift = (boxes[..., :2] + boxes[..., 2:] - own[..., :2] - own[..., 2:]) / 2
    distance = (shift**2).sum(-1) / (outer**2).sum(-1).clamp(min=EPS)
    gate = assignment.intersection / areas(own).clamp(min=EPS) - distance  # [N, G, P]
    upper = assignment.thresholds.unsqueeze(2)
    in_band = (gate >= GAMMA * upper) & (gate < upper)
    return (assignment.iou * in_band).amax(1) * assignment.valid
