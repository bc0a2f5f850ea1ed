"""Detectors that predict once per prior: backbone, neck, one dense head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.places import Places
from jld.models.detectors.base import Detector
from jld.models.heads.dense_head import DenseHead
from jld.models.interface import Interface
from jld.models.parts import Backbone, Neck
from jld.models.targets import Targets
from jld.models.trace import DENSE, Trace
from jld.registry import DETECTORS
from jld.toolchain import jittor as jt


@DETECTORS.register(aliases=("GFL", "GFLv2", "ATSS", "RetinaNet", "FCOS", "RotatedRetinaNet"))
class SingleStageDetector(Detector):
    """Backbone, neck and dense head; the head decides which detector it is. Its trace has a stage `dense`.

    The names of published detectors are aliases: GFL (arXiv:2006.04388), GFLv2 (arXiv:2011.12885), ATSS
    (arXiv:1912.02424), RetinaNet (arXiv:1708.02002), FCOS (arXiv:1904.01355) and RotatedRetinaNet (RetinaNet
    with rotated boxes as in mmRotate, arXiv:2204.13317).

    Args:
        backbone: images to stage maps.
        neck: stage maps to pyramid maps.
        bbox_head: pyramid maps to predictions; owns priors, assigner and losses.
    Source: arXiv:1708.02002 for the common form.
    """

    def __init__(self, backbone: Backbone, neck: Neck, bbox_head: DenseHead):
        self.backbone, self.neck, self.bbox_head = backbone, neck, bbox_head

    @property
    def interface(self) -> Interface:
        """See `Detector`."""
        head = self.bbox_head
        strides = tuple(head.priors.strides)
        return Interface(
            tuple(self.classes), strides, self.neck.out_channels, self.normalisation, {DENSE: head.interface}
        )

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
        """See `Detector`.

        Raises:
            ValueError: `rois` are given, which nothing here would read.
        """
        if rois is not None:
            raise ValueError("a single-stage detector has no stage that reads RoIs.")
        stage = self.bbox_head.stage(features, targets)
        return Trace(features, stage.places.level_strides, {DENSE: stage})

    def losses(self, trace: Trace, targets: Targets) -> dict[str, jt.Var]:
        """See `Detector`."""
        return self.bbox_head.losses(trace.stages[DENSE])

    def detect(self, trace: Trace, batch: Mapping[str, Any]) -> list[Detections]:
        """See `Detector`."""
        return self.bbox_head.detect(trace.stages[DENSE], batch)

    def keep_hidden(self, stage: str | None, depth: int) -> None:
        """See `Detector`.

        Raises:
            ValueError: there is no such stage, or its towers are not that deep.
        """
        deepest = len(self.bbox_head.cls_convs)
        if stage not in (None, DENSE) or not 0 <= depth <= deepest:
            raise ValueError(
                f"no maps of {stage!r} after {depth} layers: the stage is {DENSE!r}, its depth {deepest}."
            )
        self.bbox_head.hidden_depths |= {depth}
