"""What every detector is: features, predictions that can be entered in the middle, losses, detections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.places import Places
from jld.models.interface import Interface
from jld.models.normalisation import InputStatistics
from jld.models.parts import Backbone
from jld.models.targets import Targets
from jld.models.trace import Trace
from jld.toolchain import jittor as jt


class Detector(jt.Module):
    """Base of the detectors. A training step is `features`, `predict` with targets, `losses`.

    Subclasses give `interface`, `features`, `predict`, `losses` and `detect`, and set `backbone`.

    Attributes:
        backbone: images to stage maps.
        classes: names in the order of the labels, empty until somebody who knows them sets them.
        normalisation: how the input images are normalised; set by `build_detector`.
    """

    backbone: Backbone
    classes: tuple[str, ...] = ()
    normalisation: InputStatistics | None = None

    @property
    def interface(self) -> Interface:
        """What others may know of this detector."""
        raise NotImplementedError

    def execute(self, images: jt.Var, image_shapes: np.ndarray | None = None) -> Trace:
        """The trace of images [N, 3, H, W], normalised and padded, without targets.

        Args:
            image_shapes: NumPy [N, 2] height, width before padding; None: they fill the tensor.
        """
        return self.predict(self.features(images), image_shapes=image_shapes)

    def features(self, images: jt.Var) -> Sequence[jt.Var]:
        """Pyramid maps [N, D, H_l, W_l], fine to coarse, of images [N, 3, H, W]."""
        raise NotImplementedError

    def predict(
        self,
        features: Sequence[jt.Var],
        targets: Targets | None = None,
        *,
        rois: Places | None = None,
        image_shapes: np.ndarray | None = None,
    ) -> Trace:
        """What the heads make of pyramid maps, these or painted ones.

        Args:
            targets: ground truth; with it the trace holds assignments, and what was sampled for them.
            rois: Places that the RoI stage reads, as they are, instead of its own proposals.
            image_shapes: NumPy [N, 2] height, width in px before padding, which proposals stay within; None:
                those of the targets, without targets the maps' own.
        """
        raise NotImplementedError

    def losses(self, trace: Trace, targets: Targets) -> dict[str, jt.Var]:
        """{name: scalar} task losses of a trace made with the targets; training minimises their sum."""
        raise NotImplementedError

    def detect(self, trace: Trace, batch: Mapping[str, Any]) -> list[Detections]:
        """Detections per image in px of the original images, see `Postprocess`."""
        raise NotImplementedError

    def keep_hidden(self, stage: str | None, depth: int) -> None:
        """From now on traces hold the maps of a stage's towers after `depth` layers (`Stage.hidden`)."""
        raise NotImplementedError

    def trainable_parameters(self) -> list[jt.Var]:
        """Parameters that learn in training mode: neither frozen stages nor running statistics."""
        return [parameter for parameter in self.parameters() if not parameter.is_stop_grad()]

    def load_pretrained(self) -> None:
        """Reads the ImageNet weights that the backbone's config names; call it before training from scratch.

        Raises:
            CheckpointError: the file is missing or does not fit.
        """
        self.backbone.load_pretrained()
