"""The second stage's box head: what class a RoI is of, and where the object lies relative to it.

Source: arXiv:1504.08083; two shared fully connected layers as in arXiv:1612.03144, section 5.2.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from jld.boxes.detections import Detections
from jld.boxes.interfaces import BoxCoder
from jld.boxes.places import Places
from jld.errors import ConfigError, one_of
from jld.losses.cross_entropy import require_cross_entropy
from jld.losses.reduction import Loss
from jld.models.boxes import box_loss, deltas_or_bins, targets_or_places
from jld.models.interface import StageInterface
from jld.models.layers import XAVIERS, init_normal
from jld.models.postprocess import RoIPostprocess
from jld.models.trace import Hidden, Stage
from jld.ops.suppression import Suppression
from jld.registry import HEADS
from jld.toolchain import jittor as jt
from jld.utils.distributed import mean_over_ranks

nn = jt.nn


@HEADS.register(aliases=("Shared2FCBBoxHead",))
class BoxHead(jt.Module):
    """Two fully connected layers on the crop of a RoI, then class scores and boxes.

    Predictions, a row for each of R RoIs:
        cls_logits: [N, R, C + 1] before a softmax, background last.
        box_deltas: [N, R, C, 4] for every class, or [N, R, 4] with `class_agnostic`: what `box_coder` decodes
            from the RoI; absent with `reg_max`.
        box_logits: [N, R, 4, B] with `reg_max`: distribution of the distance from the RoI's centre to the
            left, top, right and bottom side, B = reg_max + 1 bins of one stride of the RoI's level each.

    Args:
        num_classes: C.
        in_channels: channels of the pyramid.
        fc_out_channels: width of the two layers.
        roi_feat_size: bins along each side of a crop.
        reg_max: B - 1, or None for plain deltas. All but the coarsest level's RoIs have the area of a square
            of at most 28 strides, 14 to either side of the centre.
        class_agnostic: one box for all classes; always so with `reg_max`.
        box_coder: deltas from and to boxes; None with `reg_max`.
        loss_cls: softmax cross entropy.
        loss_bbox: on deltas; with `reg_max` on boxes in strides.
        score_threshold, nms, max_per_image: see `RoIPostprocess`.
        init: initial weights of the two layers, `xavier` (mmDetection) or `c2_xavier` (detectron2), see
            XAVIERS.
    Raises:
        ConfigError: neither `reg_max` nor `box_coder`, or both; `reg_max` for every class; unknown `init`; a
            `loss_cls` that is no softmax cross entropy.
    Source: mmDetection's Shared2FCBBoxHead, whose names of layers are kept.
    """

    def __init__(  # noqa: PLR0913 (the signature is the schema of a config section)
        self,
        num_classes: int,
        in_channels: int = 256,
        fc_out_channels: int = 1024,
        roi_feat_size: int = 7,
        reg_max: int | None = None,
        *,
        class_agnostic: bool = False,
        box_coder: BoxCoder | None = None,
        loss_cls: Loss,
        loss_bbox: Loss,
        score_threshold: float = 0.05,
        nms: Suppression,
        max_per_image: int = 100,
        init: str = "xavier",
    ):
        one_of(init, XAVIERS, f"BoxHead init {init!r}")
        if reg_max is not None and not class_agnostic:
            raise ConfigError(
                "BoxHead: distributions (reg_max) are one for all classes: set class_agnostic=True."
            )
        require_cross_entropy(loss_cls, "BoxHead.loss_cls", use_sigmoid=False)
        self.num_classes, self.roi_feat_size, self.class_agnostic = num_classes, roi_feat_size, class_agnostic
        self.boxes = deltas_or_bins(box_coder, reg_max, "BoxHead")
        self.loss_cls, self.loss_bbox = loss_cls, loss_bbox
        self.postprocess = RoIPostprocess(score_threshold, 0, nms, max_per_image)
        self._frame = None if reg_max is None else "strides"
        self._box_shape = self.boxes.shape if class_agnostic else (num_classes, *self.boxes.shape)
        self.shared_fcs = nn.Sequential(
            _linear(in_channels * roi_feat_size**2, fc_out_channels, XAVIERS[init]),
            _linear(fc_out_channels, fc_out_channels, XAVIERS[init]),
        )
        self.fc_cls = _linear(fc_out_channels, num_classes + 1, init_normal)
        self.fc_reg = _linear(fc_out_channels, math.prod(self._box_shape), partial(init_normal, std=0.001))

    @property
    def class_keys(self) -> tuple[str, ...]:
        """The keys whose first trailing axis is the classes."""
        return ("cls_logits",) if self.class_agnostic else ("cls_logits", self.boxes.key)

    @property
    def interface(self) -> StageInterface:
        """What others may know of this head; which RoI is which is said by whoever gives them."""
        return StageInterface(
            head=type(self).__name__,
            num_classes=self.num_classes,
            shapes={"cls_logits": (self.num_classes + 1,), self.boxes.key: self._box_shape},
            boxes=self.boxes,
            class_keys=self.class_keys,
            places={},
            center_offset=0.5,
        )

    def execute(self, crops: jt.Var, num_images: int) -> dict[str, jt.Var]:
        """Predictions (see the class) of crops [N * R, D, size, size]."""
        x = crops.reshape(crops.shape[0], -1)
        for layer in self.shared_fcs:
            x = nn.relu(layer(x))
        outputs = {"cls_logits": self.fc_cls(x), self.boxes.key: self.fc_reg(x)}
        shapes = {"cls_logits": (self.num_classes + 1,), self.boxes.key: self._box_shape}
        return {
            key: value.reshape(num_images, crops.shape[0] // num_images, *shapes[key])
            for key, value in outputs.items()
        }

    def losses(self, stage: Stage) -> dict[str, jt.Var]:
        """Both losses are divided by the number of RoIs, at least one; of several ranks by their mean.

        Returns:
            {"loss_cls", "loss_bbox"}: scalars; zero box loss without positives.
        """
        assignment = stage.assigned
        num_rois = jt.maximum(mean_over_ranks(assignment.label_weights.sum()), 1.0)
        places = _with_sides(stage.places)
        loss_cls = self.loss_cls(
            stage.predictions["cls_logits"],
            assignment.labels,
            weight=assignment.label_weights,
            avg_factor=num_rois,
        )
        loss_bbox = box_loss(
            self.loss_bbox,
            self.boxes,
            self.of_class(stage.predictions[self.boxes.key], assignment.labels),
            places,
            targets_or_places(places, assignment),
            frame=self._frame,
            weight=assignment.positive_mask * assignment.label_weights,
            avg_factor=num_rois,
        )
        return {"loss_cls": loss_cls, "loss_bbox": loss_bbox}

    def of_class(self, prediction: jt.Var, labels: jt.Var) -> jt.Var:
        """[N, R, *shape of a box] of the class in labels [N, R]; zeros for the background."""
        return prediction if self.class_agnostic else entries_of(prediction, labels)

    def probabilities(self, predictions: Mapping[str, jt.Var]) -> jt.Var:
        """[N, R, C] the score of every class in [0, 1]; what is missing to 1 is background."""
        return nn.softmax(predictions["cls_logits"], dim=-1)[:, :, : self.num_classes]

    def confidence(self, predictions: Mapping[str, jt.Var]) -> jt.Var:
        """[N, R] the highest class score."""
        return self.probabilities(predictions).max(dim=-1)

    def decode(self, predictions: Mapping[str, jt.Var], places: Places) -> jt.Var:
        """[N, R, 4] the predicted boxes in px of the network input, those of the likeliest class."""
        best, _ = jt.argmax(predictions["cls_logits"][:, :, : self.num_classes], dim=-1)
        return self.boxes.decode(self.of_class(predictions[self.boxes.key], best), places)

    def decode_all(self, predictions: Mapping[str, jt.Var], places: Places) -> jt.Var:
        """[N, R, C, 4] the boxes of all classes in px of the network input; C is 1 with `class_agnostic`."""
        prediction = predictions[self.boxes.key]
        if self.class_agnostic:
            prediction = prediction.unsqueeze(2)
        fields = {name: getattr(places, name).unsqueeze(2) for name in ("boxes", "centers", "strides")}
        return self.boxes.decode(prediction, dataclasses.replace(places, **fields))

    def resume(self, hidden: Hidden, after: int) -> dict[str, jt.Var]:
        """There are no towers to enter.

        Raises:
            ValueError: always.
        """
        raise ValueError("a box head has no towers that could be entered in the middle.")

    def detect(self, stage: Stage, batch: Mapping[str, Any]) -> list[Detections]:
        """Detections of every image in px of the original images, see `RoIPostprocess`."""
        boxes = self.decode_all(stage.predictions, stage.places)
        mask = stage.places.mask
        return self.postprocess.of_rois(
            stage.probabilities().numpy(), boxes.numpy(), None if mask is None else mask.numpy(), batch
        )


def _with_sides(places: Places) -> Places:
    """The same places, none without width or height: clipping may leave such RoIs, and deltas divide by both.

    They overlap nothing, so they are negatives, whose box loss has a weight of 0; it must be a number.
    """
    corners, ends = places.boxes[:, :, :2], places.boxes[:, :, 2:]
    return dataclasses.replace(places, boxes=jt.concat([corners, jt.maximum(ends, corners + 1e-3)], dim=2))


def entries_of(values: jt.Var, labels: jt.Var) -> jt.Var:
    """[N, R, ...] the entry at labels [N, R] int32 of values [N, R, C, ...]; zeros past the end."""
    shape = values.shape
    rest = [f"i{axis - 1}" for axis in range(3, values.ndim)]
    return values.reindex([*shape[:2], *shape[3:]], ["i0", "i1", "@e0(i0,i1)", *rest], extras=[labels])


def _linear(num_inputs: int, num_outputs: int, init: Callable[[jt.Module], None]) -> jt.nn.Linear:
    layer = nn.Linear(num_inputs, num_outputs)
    init(layer)
    return layer
