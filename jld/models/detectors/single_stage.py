"""Detectors that predict once per prior: backbone, neck, one head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jld.models.targets import Targets
from jld.models.trace import Trace
from jld.registry import DETECTORS
from jld.toolchain import jittor as jt


@DETECTORS.register
class SingleStageDetector(jt.Module):
    """Backbone, neck and dense head; the head decides which detector it is.

    Args:
        backbone: images to stage maps.
        neck: stage maps to pyramid maps.
        bbox_head: pyramid maps to predictions; owns priors, assigner and losses.
    Source: arXiv:1708.02002 for the common form.
    """

    def __init__(self, backbone: jt.Module, neck: jt.Module, bbox_head: jt.Module):
        self.backbone, self.neck, self.bbox_head = backbone, neck, bbox_head

    @property
    def feature_channels(self) -> int:
        """Channels of the neck's maps, which distillation reads."""
        return self.neck.out_channels

    def execute(self, images: jt.Var) -> Trace:
        """The trace of images [N, 3, H, W], normalised and padded."""
        features = self.neck(self.backbone(images))
        priors = self.bbox_head.priors.priors([x.shape[2:] for x in features])
        return Trace(features, self.bbox_head(features), priors)

    def assign(self, trace: Trace, targets: Targets) -> Any:
        """Who is positive for which object: the head's Assignment."""
        return self.bbox_head.assign(trace, targets)

    def losses(self, trace: Trace, assignment: Any, targets: Targets) -> dict[str, jt.Var]:
        """{name: scalar} task losses; training minimises their sum."""
        return self.bbox_head.losses(trace, assignment, targets)

    def detect(self, trace: Trace, batch: Mapping[str, Any]) -> list[dict]:
        """Detections per image in px of the original images, see `Postprocess`."""
        return self.bbox_head.detect(trace, batch)

    def trainable_parameters(self) -> list[jt.Var]:
        """Parameters that learn in training mode: neither frozen stages nor running statistics."""
        return [parameter for parameter in self.parameters() if not parameter.is_stop_grad()]

    def load_pretrained(self) -> None:
        """Reads the ImageNet weights that the backbone's config names; call it before training from scratch.

        Raises:
            CheckpointError: the file is missing or does not fit.
        """
        self.backbone.load_pretrained()


@DETECTORS.register
class GFL(SingleStageDetector):
    """Generalized focal loss detector.

    Source: arXiv:2006.04388.
    """


@DETECTORS.register
class GFLv2(SingleStageDetector):
    """Generalized focal loss V2 detector: class scores times a quality read off the box distributions.

    Source: arXiv:2011.12885.
    """


@DETECTORS.register
class ATSS(SingleStageDetector):
    """ATSS detector, with plain box deltas or with distributions of the box sides.

    Source: arXiv:1912.02424.
    """


@DETECTORS.register
class RetinaNet(SingleStageDetector):
    """RetinaNet detector, with plain box deltas or with distributions of the box sides.

    Source: arXiv:1708.02002.
    """


@DETECTORS.register
class FCOS(SingleStageDetector):
    """FCOS detector, with plain distances or with distributions of the box sides.

    Source: arXiv:1904.01355.
    """


@DETECTORS.register
class RotatedRetinaNet(SingleStageDetector):
    """RetinaNet with rotated boxes; its detections are centre, width, height in px and angle in radians.

    Source: arXiv:1708.02002 with rotated boxes as in mmRotate (arXiv:2204.13317).
    """
