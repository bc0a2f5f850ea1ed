"""The head of RetinaNet, with plain box deltas or with one distribution per box side.

Owns its layers, its task losses and the parameters of the selection of detections. Source: arXiv:1708.02002;
distributions as in the RetinaNet of HikariTJU/LD.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jld.errors import ConfigError
from jld.models.heads.dense_head import DenseHead, sides_shape
from jld.models.heads.distribution import (
    conv_tower,
    decode_distributions,
    flatten_levels,
    targets_or_priors,
)
from jld.models.layers import init_normal, prior_probability_bias
from jld.models.postprocess import Postprocess
from jld.models.targets import Targets
from jld.models.trace import Trace
from jld.ops.conv2d import Conv2d
from jld.registry import HEADS
from jld.toolchain import jittor as jt


@HEADS.register
class RetinaHead(DenseHead):
    """Head of RetinaNet: focal scores and a box per anchor, as deltas or as side distributions.

    Predictions:
        cls_logits: [N, P, C] one sigmoid per class.
        box_deltas: [N, P, 4] what `box_coder` decodes from the anchor; absent with `reg_max`.
        box_logits: [N, P, 4, B] with `reg_max`: distribution of the distance from the anchor's centre to the
            left, top, right and bottom side, B = reg_max + 1 bins of one stride each. The anchor's size only
            matters for who is positive.

    Args:
        num_classes: C.
        in_channels: channels of the neck's maps.
        feat_channels: width of the two towers, which have no normalisation.
        stacked_convs: convolutions in each tower.
        reg_max: B - 1, or None for plain deltas.
        priors: prior generator, for example AnchorGenerator.
        assigner: who is positive, for example MaxIoUAssigner.
        box_coder: deltas from and to boxes, for example DeltaBoxCoder; None with `reg_max`.
        loss_cls: focal loss.
        loss_bbox: box loss, on deltas or on boxes.
        reg_decoded_bbox: the box loss compares boxes in px instead of deltas. With `reg_max` it always
            compares boxes, in strides.
        score_threshold, nms_pre, nms, max_per_image: see `Postprocess`.
    Raises:
        ConfigError: neither `reg_max` nor `box_coder`, or both.
    Source: arXiv:1708.02002 and mmDetection's RetinaHead; HikariTJU/LD's RetinaGFLHead, whose names of the
        last layers (`atss_*`) are kept with `reg_max`, so that its weights load.
    """

    num_sides = 4

    def __init__(  # noqa: PLR0913 (the signature is the schema of a config section)
        self,
        num_classes: int,
        in_channels: int = 256,
        feat_channels: int = 256,
        stacked_convs: int = 4,
        reg_max: int | None = None,
        *,
        priors: Any,
        assigner: Any,
        box_coder: Any = None,
        loss_cls: Any,
        loss_bbox: Any,
        reg_decoded_bbox: bool = False,
        score_threshold: float = 0.05,
        nms_pre: int = 1000,
        nms: Any,
        max_per_image: int = 100,
    ):
        if (reg_max is None) == (box_coder is None):
            raise ConfigError(
                "RetinaHead needs either box_coder (plain deltas, DeltaBoxCoder) or reg_max (distributions, "
                f"16), not {'none' if reg_max is None else 'both'} of them."
            )
        self.num_classes, self.reg_max = num_classes, reg_max
        self.priors, self.assigner, self.box_coder = priors, assigner, box_coder
        self.loss_cls, self.loss_bbox = loss_cls, loss_bbox
        self.reg_decoded_bbox = reg_decoded_bbox
        self.postprocess = Postprocess(score_threshold, nms_pre, nms, max_per_image)
        self.cls_convs = conv_tower(in_channels, feat_channels, stacked_convs, None)
        self.reg_convs = conv_tower(in_channels, feat_channels, stacked_convs, None)
        self._family = "retina" if reg_max is None else "atss"
        cells, per_prior = priors.num_per_cell, self.num_sides * (1 if reg_max is None else reg_max + 1)
        last_cls = Conv2d(feat_channels, cells * num_classes, 3, padding=1)
        last_reg = Conv2d(feat_channels, cells * per_prior, 3, padding=1)
        init_normal(last_cls, bias=prior_probability_bias(0.01))
        init_normal(last_reg)
        setattr(self, f"{self._family}_cls", last_cls)
        setattr(self, f"{self._family}_reg", last_reg)

    def prediction_shapes(self) -> dict[str, tuple[int, ...]]:
        """{key of the predictions: trailing shape per prior}; distillation compares models by it."""
        box = sides_shape(self.num_sides, self.reg_max, "box_deltas")
        return {"cls_logits": (self.num_classes,), **box}

    def execute(self, features: Sequence[jt.Var]) -> dict[str, jt.Var]:
        """Predictions (see the class) for the neck's maps [N, D, H_l, W_l], fine to coarse."""
        last_cls, last_reg = (getattr(self, f"{self._family}_{kind}") for kind in ("cls", "reg"))
        cls_maps = [last_cls(self.cls_convs(x)) for x in features]
        box_maps = [last_reg(self.reg_convs(x)) for x in features]
        shapes = self.prediction_shapes()
        return {
            key: flatten_levels(maps, per_prior=shapes[key])
            for key, maps in zip(shapes, (cls_maps, box_maps), strict=True)
        }

    def losses(self, trace: Trace, assignment: Any, targets: Targets) -> dict[str, jt.Var]:
        """Task losses, dense over all priors and zero-weighted where they do not apply.

        Both are sums divided by N_pos, the sum over the rank's own images of max(positives, 1). As in the
        reference, N_pos is not averaged over ranks.

        Returns:
            {"loss_cls", "loss_bbox"}: scalars, summed over levels and images; zero box loss without
            positives.
        """
        num_pos = assignment.num_total_pos.float32()
        predicted, wanted = self._box_pair(trace, assignment)
        return {
            "loss_cls": self.loss_cls(
                trace.predictions["cls_logits"],
                assignment.labels,
                weight=assignment.label_weights,
                avg_factor=num_pos,
            ),
            "loss_bbox": self.loss_bbox(
                predicted, wanted, weight=assignment.positive_mask, avg_factor=num_pos
            ),
        }

    def _box_pair(self, trace: Trace, assignment: Any) -> tuple[jt.Var, jt.Var]:
        """What the box loss compares, [N, P, 4] both: deltas, or boxes in px or in strides."""
        priors = trace.priors
        boxes = targets_or_priors(priors.boxes, assignment)
        if self.reg_max is not None:
            strides = priors.strides.unsqueeze(-1)  # [P, 1]
            units = jt.ones_like(priors.strides)
            decoded = decode_distributions(trace.predictions["box_logits"], priors.centers / strides, units)
            return decoded, boxes / strides
        deltas = trace.predictions["box_deltas"]
        if self.reg_decoded_bbox:
            return self.box_coder.decode(priors.boxes, deltas), boxes
        return deltas, self.box_coder.encode(priors.boxes, boxes).stop_grad()

    def dense_detections(self, trace: Trace) -> tuple[jt.Var, jt.Var]:
        """Scores [N, P, C] and boxes [N, P, 4] in px of the network input, before any selection."""
        priors, predictions = trace.priors, trace.predictions
        if self.reg_max is None:
            boxes = self.box_coder.decode(priors.boxes, predictions["box_deltas"])
        else:
            boxes = decode_distributions(predictions["box_logits"], priors.centers, priors.strides)
        return jt.sigmoid(predictions["cls_logits"]), boxes
