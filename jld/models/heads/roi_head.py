"""The second stage: from proposals to a sample of RoIs, their crops, and what the heads make of them.

Source: arXiv:1504.08083, section 2.3; conventions of mmDetection's StandardRoIHead.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jld.assign.assignment import NEGATIVE, Assignment, make_assignment
from jld.assign.interfaces import Assigner
from jld.assign.sampling import Sampler
from jld.boxes.detections import Detections
from jld.boxes.mask_pasting import paste_masks
from jld.boxes.places import Places, rows_at
from jld.errors import ConfigError
from jld.models.heads.box_head import BoxHead
from jld.models.heads.mask_head import MaskHead
from jld.models.heads.rpn_head import Proposals
from jld.models.rois import RoIPooler
from jld.models.targets import Targets
from jld.models.trace import Stage
from jld.registry import HEADS
from jld.toolchain import jittor as jt


@HEADS.register(aliases=("StandardRoIHead",))
class RoIHead(jt.Module):
    """Chooses RoIs among proposals, crops them from the pyramid, and hands them to a box and a mask head.

    Args:
        bbox_head: crops to classes and boxes.
        mask_head: crops to masks; None: boxes alone.
        assigner: which RoI is positive for which object, for example MaxIoUAssigner.
        sampler: the RoIs that are learnt from, for example RandomSampler.
        add_gt_as_proposals: the objects' own boxes stand in front of the proposals; boxes of no size do not.
        strides: px per cell of the levels that are read, fine to coarse; coarser ones serve the RPN alone.
        sampling_ratio: see `roi_align`; 0 is that of mmDetection and detectron2.
        canonical_px: a box of this side reads the level of stride 16.
        aligned: see `roi_align`; False is torchvision's.
    Raises:
        ConfigError: the two heads count other classes, or the sampler leaves no positive to learn masks from.
    Source: arXiv:1504.08083; mmDetection's StandardRoIHead with a SingleRoIExtractor.
    Differs: objects without width or height are never RoIs (reference: their box loss is NaN).
    """

    def __init__(
        self,
        bbox_head: BoxHead,
        mask_head: MaskHead | None = None,
        *,
        assigner: Assigner,
        sampler: Sampler,
        add_gt_as_proposals: bool = True,
        strides: Sequence[int] = (4, 8, 16, 32),
        sampling_ratio: int = 0,
        canonical_px: float = 224.0,
        aligned: bool = True,
    ):
        if mask_head is not None:
            _check_masks(bbox_head, mask_head, sampler)
        self.bbox_head, self.mask_head = bbox_head, mask_head
        self.assigner, self.sampler, self.add_gt_as_proposals = assigner, sampler, add_gt_as_proposals
        self.pooler = RoIPooler(
            tuple(int(stride) for stride in strides), sampling_ratio, canonical_px, aligned
        )

    def given(self, rois: Places, targets: Targets | None) -> tuple[Places, Assignment | None]:
        """RoIs as they are, on this pyramid's levels, with their assignment where there are targets."""
        n, r = rois.boxes.shape[:2]
        mask = jt.ones((n, r)) if rois.mask is None else rois.mask
        rois = self.pooler.places(rois.boxes, mask)
        return rois, None if targets is None else self._assigned(rois, mask, targets)

    def _assigned(self, rois: Places, mask: jt.Var, targets: Targets) -> Assignment:
        return self.assigner(rois, targets, mask, self.bbox_head.num_classes)

    def sampled(self, proposals: Proposals, targets: Targets) -> tuple[Places, Assignment]:
        """S RoIs of every image with their assignment, positives first; some slots may be empty.

        Raises:
            ValueError: the targets have no seeds to draw from.
        """
        if targets.seeds is None:
            raise ValueError("these targets have no seeds to draw a sample from: use Targets.from_batch.")
        proposed = self.pooler.places(proposals.boxes, proposals.mask)
        found = self._assigned(proposed, proposals.mask, targets)
        boxes, gt_index, usable = proposals.boxes, found.gt_index, found.label_weights
        overlaps = found.max_iou
        if self.add_gt_as_proposals:
            n, g = targets.mask.shape
            sides = targets.boxes[:, :, 2:] - targets.boxes[:, :, :2]
            proper = targets.mask * (sides.min(2) > 0).float32()
            boxes = jt.concat([targets.boxes, boxes], dim=1)
            usable = jt.concat([proper, usable], dim=1)
            overlaps = jt.concat([proper, overlaps], dim=1)
            gt_index = jt.concat([jt.arange(g).int32().unsqueeze(0).broadcast((n, g)), gt_index], dim=1)
        places = self.sampler(
            dataclasses.replace(found, gt_index=gt_index, label_weights=usable), targets.seeds
        ).places
        mask = (places < boxes.shape[1]).float32()
        rois = self.pooler.places(rows_at(boxes, places), mask)
        index = rows_at(gt_index, places, past_end=NEGATIVE)
        overlaps = rows_at(overlaps, places)
        return rois, make_assignment(index, overlaps, targets, mask, self.bbox_head.num_classes)

    def stage(self, features: Sequence[jt.Var], rois: Places, assignment: Assignment | None) -> Stage:
        """What the box head makes of RoIs on pyramid maps."""

        def read(maps: Sequence[jt.Var]) -> dict[str, jt.Var]:
            crops = self.pooler.crops(maps, rois, self.bbox_head.roi_feat_size)
            return self.bbox_head(crops, rois.boxes.shape[0])

        return Stage(read(features), rois, self.bbox_head, assignment, reread=read)

    def mask_stage(self, features: Sequence[jt.Var], rois: Stage, count: int) -> Stage:
        """What the mask head makes of the positives among the first `count` RoIs of a stage.

        Raises:
            ValueError: there is no mask head, or the stage has no assignment.
        """
        if self.mask_head is None:
            raise ValueError("this RoI head has no mask head.")
        assignment = first_rows(rois.assigned, count)
        places = self.pooler.places(rois.places.boxes[:, :count], assignment.positive_mask)
        crops = self.pooler.crops(features, places, self.mask_head.roi_feat_size)
        predictions = self.mask_head(crops, places.boxes.shape[0], assignment.positive_mask)
        return Stage(predictions, places, self.mask_head, assignment)

    def with_masks(
        self, features: Sequence[jt.Var], found: Sequence[Detections], batch: Mapping[str, Any]
    ) -> list[Detections]:
        """Detections with the masks of their boxes, at the size of the original images.

        Args:
            features, found: see `mask_probabilities`.
            batch: `scale_factors` [N, 4] and `ori_shapes` [N, 2].
        Raises:
            ValueError: there is no mask head.
        """
        probs = self.mask_probabilities(features, found, batch["scale_factors"])
        return [
            dataclasses.replace(
                each, masks=paste_masks(probs[image, : len(each.scores)], each.shapes, _size(batch, image))
            )
            for image, each in enumerate(found)
        ]

    def mask_probabilities(
        self, features: Sequence[jt.Var], found: Sequence[Detections], scale_factors: np.ndarray
    ) -> np.ndarray:
        """[N, K, S, S] of every detection the mask of its class in the frame of its box.

        K is the largest number of an image, 1 at least; empty slots mean nothing.

        Args:
            features: pyramid maps of the batch.
            found: a head's detections, boxes in px of the original images.
            scale_factors: [N, 4].
        Raises:
            ValueError: there is no mask head.
        """
        if self.mask_head is None:
            raise ValueError("this RoI head has no mask head.")
        slots = max(1, *(len(each.scores) for each in found))
        boxes, labels = np.zeros((len(found), slots, 4), np.float32), np.zeros((len(found), slots), np.int32)
        mask = np.zeros(labels.shape, np.float32)
        for image, each in enumerate(found):
            count = len(each.scores)
            boxes[image, :count] = each.shapes * scale_factors[image]
            labels[image, :count], mask[image, :count] = each.labels, 1
        places = self.pooler.places(jt.array(boxes), jt.array(mask))
        crops = self.pooler.crops(features, places, self.mask_head.roi_feat_size)
        logits = self.mask_head(crops, len(found), places.mask)["mask_logits"]
        return jt.sigmoid(self.mask_head.of_class(logits, jt.array(labels))).numpy()


def first_rows(assignment: Assignment, count: int) -> Assignment:
    """The assignment of the first `count` places."""
    per_place = ("gt_index", "labels", "positive_mask", "label_weights", "max_iou", "target_boxes")
    return dataclasses.replace(
        assignment, **{name: getattr(assignment, name)[:, :count] for name in per_place}
    )


def _check_masks(bbox_head: BoxHead, mask_head: MaskHead, sampler: Sampler) -> None:
    counts = bbox_head.num_classes, mask_head.num_classes
    if counts[0] != counts[1]:
        raise ConfigError(
            f"bbox_head.num_classes is {counts[0]} and mask_head.num_classes is {counts[1]}: set both to the "
            "number of classes of the dataset."
        )
    if sampler.most_positives < 1:
        raise ConfigError(
            "roi_head.sampler draws no positives, and masks are learnt from nothing else: raise its num or "
            "pos_fraction."
        )


def _size(batch: Mapping[str, Any], image: int) -> tuple[int, int]:
    height, width = batch["ori_shapes"][image]
    return int(height), int(width)
