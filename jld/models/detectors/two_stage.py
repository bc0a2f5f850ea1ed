"""Detectors that propose regions first and look at each of them again: RPN and RoI head on one pyramid."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.places import Places
from jld.errors import ConfigError
from jld.models.detectors.base import Detector
from jld.models.heads.roi_head import RoIHead
from jld.models.heads.rpn_head import RPNHead
from jld.models.interface import Interface
from jld.models.parts import Backbone, Neck
from jld.models.targets import Targets
from jld.models.trace import MASK, ROI, RPN, Trace
from jld.ops.mask_targets import mask_targets
from jld.registry import DETECTORS
from jld.toolchain import jittor as jt


@DETECTORS.register(aliases=("FasterRCNN", "MaskRCNN"))
class TwoStageDetector(Detector):
    """Backbone, neck, region proposals and a second look at them. Its trace has the stages `rpn` and `roi`.

    With targets, `roi` holds the sample of RoIs that is learnt from, and `mask`, with a mask head, those of
    them that are positive; without targets, `roi` holds the proposals. The names of published detectors are
    aliases: FasterRCNN (arXiv:1506.01497) and, with `roi_head.mask_head`, MaskRCNN (arXiv:1703.06870).

    Args:
        backbone: images to stage maps.
        neck: stage maps to pyramid maps; an FPN's P6 without extra convolutions is every second cell of P5.
        rpn_head: pyramid maps to proposals.
        roi_head: RoIs to classes, boxes and masks; reads the finest of the maps.
    Raises:
        ConfigError: the RoI head reads maps that the RPN does not have, or a head describes rotated boxes.
    Source: arXiv:1506.01497 on the pyramid of arXiv:1612.03144.
    """

    def __init__(self, backbone: Backbone, neck: Neck, rpn_head: RPNHead, roi_head: RoIHead):
        strides, read = tuple(rpn_head.priors.strides), roi_head.pooler.strides
        if strides[: len(read)] != read:
            raise ConfigError(
                f"the RoI head reads maps of strides {read}, the first ones of the RPN have {strides}: set "
                "roi_head.strides and rpn_head.priors.strides."
            )
        for name, head in (("rpn_head", rpn_head), ("roi_head.bbox_head", roi_head.bbox_head)):
            if head.boxes.num_sides != 4:
                raise ConfigError(
                    f"{name}.box_coder describes boxes by {head.boxes.num_sides} numbers, but proposals and "
                    "RoIs are upright: use DeltaBoxCoder."
                )
        self.backbone, self.neck, self.rpn_head, self.roi_head = backbone, neck, rpn_head, roi_head

    @property
    def interface(self) -> Interface:
        """See `Detector`."""
        box_head, mask_head = self.roi_head.bbox_head, self.roi_head.mask_head
        rois = dataclasses.replace(box_head.interface, anchors=(self.roi_head.pooler.describe(),))
        stages = {RPN: self.rpn_head.interface, ROI: rois}
        if mask_head is not None:
            stages[MASK] = mask_head.interface_on(box_head.boxes)
        strides = tuple(self.rpn_head.priors.strides)
        return Interface(tuple(self.classes), strides, self.neck.out_channels, self.normalisation, stages)

    def features(self, images: jt.Var) -> Sequence[jt.Var]:
        """See `Detector`."""
        return self.neck(self.backbone(images))

    def predict(
        self,
        features: Sequence[jt.Var],
        targets: Targets | None = None,
        *,
        rois: Places | None = None,
        image_shapes: np.ndarray | None = None,
    ) -> Trace:
        """See `Detector`; RoIs that are given are neither sampled nor joined by the objects' own boxes."""
        rpn, num_masks = self.rpn_head.stage(features, targets), self.roi_head.sampler.most_positives
        if rois is not None:
            num_masks = rois.boxes.shape[1]  # positives may stand anywhere
            read = self.roi_head.given(rois, targets)
        else:
            if image_shapes is None and targets is not None:
                image_shapes = targets.img_shapes
            proposals = self.rpn_head.proposals(rpn, image_shapes)
            if targets is None:
                read = self.roi_head.pooler.places(proposals.boxes, proposals.mask), None
            else:
                read = self.roi_head.sampled(proposals, targets)
        stages = {RPN: rpn, ROI: self.roi_head.stage(features, *read)}
        if self.roi_head.mask_head is not None and targets is not None:
            stages[MASK] = self.roi_head.mask_stage(features, stages[ROI], num_masks)
        return Trace(features, rpn.places.level_strides, stages)

    def losses(self, trace: Trace, targets: Targets) -> dict[str, jt.Var]:
        """See `Detector`."""
        losses = {
            **self.rpn_head.losses(trace.stages[RPN]),
            **self.roi_head.bbox_head.losses(trace.stages[ROI]),
        }
        head = self.roi_head.mask_head
        if head is not None:
            stage = trace.stages[MASK]
            wanted = mask_targets(targets, stage.places.boxes, stage.assigned.gt_index, head.mask_size)
            losses |= head.losses(stage, wanted)
        return losses

    def detect(self, trace: Trace, batch: Mapping[str, Any]) -> list[Detections]:
        """See `Detector`."""
        found = self.roi_head.bbox_head.detect(trace.stages[ROI], batch)
        if self.roi_head.mask_head is None:
            return found
        return self.roi_head.with_masks(trace.features, found, batch)

    def keep_hidden(self, stage: str | None, depth: int) -> None:
        """See `Detector`.

        Raises:
            ValueError: always; the stages have no towers.
        """
        raise ValueError(f"no maps of {stage!r} after {depth} layers: a two-stage detector has no towers.")
