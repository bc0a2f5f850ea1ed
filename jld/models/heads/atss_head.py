"""The head of ATSS, with plain box deltas or with one distribution per box side.

Owns its layers, its task losses and the parameters of the selection of detections. Source: arXiv:1912.02424;
distributions as in the ATSS of HikariTJU/LD.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jld.boxes.centerness import centerness
from jld.boxes.distances import bbox2distance
from jld.errors import ConfigError
from jld.models.heads.dense_head import DenseHead, sides_shape
from jld.models.heads.distribution import (
    conv_tower,
    decode_distributions,
    flatten_levels,
    targets_or_priors,
)
from jld.models.layers import Scale, init_normal, prior_probability_bias
from jld.models.postprocess import Postprocess
from jld.models.targets import Targets
from jld.models.trace import Trace
from jld.ops.conv2d import Conv2d
from jld.registry import HEADS
from jld.toolchain import jittor as jt
from jld.utils.distributed import mean_over_ranks

nn = jt.nn


@HEADS.register
class ATSSHead(DenseHead):
    """Head of ATSS: focal scores, a box and its centerness per prior.

    Predictions:
        cls_logits: [N, P, C] one sigmoid per class.
        centerness_logits: [N, P] one sigmoid: how central the prior's centre lies in its object.
        box_deltas: [N, P, 4] what `box_coder` decodes, after the learnable factor of the level; absent with
            `reg_max`.
        box_logits: [N, P, 4, B] with `reg_max`: distribution of the distance from the prior's centre to the
            left, top, right and bottom side, B = reg_max + 1 bins of one stride each, after the factor of the
            level.

    Args:
        num_classes: C.
        in_channels: channels of the neck's maps.
        feat_channels: width of the two towers.
        stacked_convs: convolutions in each tower.
        reg_max: B - 1, the largest distance in strides, or None for plain deltas.
        priors: prior generator, for example AnchorGenerator with one square anchor per cell.
        assigner: who is positive, for example ATSSAssigner.
        box_coder: deltas from and to boxes, for example DeltaBoxCoder; None with `reg_max`.
        loss_cls: focal loss.
        loss_bbox: box loss on corners in px.
        loss_centerness: binary cross entropy.
        num_norm_groups: groups of the towers' normalisation; None: no normalisation, convolutions with bias.
        score_threshold, nms_pre, nms, max_per_image: see `Postprocess`; detections are ranked by score times
            centerness.
    Raises:
        ConfigError: not exactly one of `reg_max` and `box_coder`.
    Source: arXiv:1912.02424 and mmDetection's ATSSHead; HikariTJU/LD's ATSSGFLHead.
    """

    num_sides = 4
    # Floor of the summed centerness that divides the box loss.
    min_weight_sum = 1e-12

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
        loss_centerness: Any,
        num_norm_groups: int | None = 32,
        score_threshold: float = 0.05,
        nms_pre: int = 1000,
        nms: Any,
        max_per_image: int = 100,
    ):
        if (reg_max is None) == (box_coder is None):
            raise ConfigError(
                "ATSSHead predicts deltas of a box_coder or distributions over reg_max + 1 bins: give one of "
                "the two, and the other as None."
            )
        self.num_classes, self.reg_max = num_classes, reg_max
        self.priors, self.assigner, self.box_coder = priors, assigner, box_coder
        self.loss_cls, self.loss_bbox, self.loss_centerness = loss_cls, loss_bbox, loss_centerness
        self.postprocess = Postprocess(score_threshold, nms_pre, nms, max_per_image)
        self.cls_convs = conv_tower(in_channels, feat_channels, stacked_convs, num_norm_groups)
        self.reg_convs = conv_tower(in_channels, feat_channels, stacked_convs, num_norm_groups)
        cells, per_prior = priors.num_per_cell, self.num_sides * (1 if reg_max is None else reg_max + 1)
        self.atss_cls = Conv2d(feat_channels, cells * num_classes, 3, padding=1)
        self.atss_reg = Conv2d(feat_channels, cells * per_prior, 3, padding=1)
        self.atss_centerness = Conv2d(feat_channels, cells, 3, padding=1)
        self.scales = nn.Sequential(*(Scale() for _ in priors.strides))
        init_normal(self.atss_cls, bias=prior_probability_bias(0.01))
        init_normal(self.atss_reg)
        init_normal(self.atss_centerness)

    def prediction_shapes(self) -> dict[str, tuple[int, ...]]:
        """{key of the predictions: trailing shape per prior}; distillation compares models by it."""
        box = sides_shape(self.num_sides, self.reg_max, "box_deltas")
        return {"cls_logits": (self.num_classes,), "centerness_logits": (), **box}

    def execute(self, features: Sequence[jt.Var]) -> dict[str, jt.Var]:
        """Predictions (see the class) for the neck's maps [N, D, H_l, W_l], fine to coarse."""
        cls_maps, centerness_maps, box_maps = [], [], []
        for x, scale in zip(features, self.scales, strict=True):
            reg_features = self.reg_convs(x)
            cls_maps.append(self.atss_cls(self.cls_convs(x)))
            centerness_maps.append(self.atss_centerness(reg_features))
            box_maps.append(scale(self.atss_reg(reg_features)))
        shapes = self.prediction_shapes()
        return {
            key: flatten_levels(maps, per_prior=shapes[key])
            for key, maps in zip(shapes, (cls_maps, centerness_maps, box_maps), strict=True)
        }

    def boxes(self, trace: Trace) -> jt.Var:
        """[N, P, 4] predicted corners in px of the network input."""
        priors = trace.priors
        if self.reg_max is None:
            return self.box_coder.decode(priors.boxes, trace.predictions["box_deltas"])
        return decode_distributions(trace.predictions["box_logits"], priors.centers, priors.strides)

    def losses(self, trace: Trace, assignment: Any, targets: Targets) -> dict[str, jt.Var]:
        """Task losses, dense over all priors and zero-weighted where they do not apply.

        With c the centerness of a positive prior: `loss_cls` = focal / N_pos, `loss_bbox` = sum c L_box /
        sum c, `loss_centerness` = sum of cross entropies against c / N_pos; N_pos, the sum over images of
        max(positives, 1), and sum c are averaged over ranks.

        Returns:
            {"loss_cls", "loss_bbox", "loss_centerness"}: scalars, summed over levels and images; the last two
            are zero without positives.
        """
        priors, positive = trace.priors, assignment.positive_mask
        num_pos = jt.maximum(mean_over_ranks(assignment.num_total_pos.float32()), 1.0)
        target_boxes = targets_or_priors(priors.boxes, assignment)
        quality = (centerness(bbox2distance(priors.centers, target_boxes)) * positive).stop_grad()  # [N, P]
        quality_sum = jt.maximum(mean_over_ranks(quality.sum()), self.min_weight_sum)
        return {
            "loss_cls": self.loss_cls(
                trace.predictions["cls_logits"],
                assignment.labels,
                weight=assignment.label_weights,
                avg_factor=num_pos,
            ),
            "loss_bbox": self.loss_bbox(
                self.boxes(trace), target_boxes, weight=quality, avg_factor=quality_sum
            ),
            "loss_centerness": self.loss_centerness(
                trace.predictions["centerness_logits"], quality, weight=positive, avg_factor=num_pos
            ),
        }

    def dense_detections(self, trace: Trace) -> tuple[jt.Var, jt.Var]:
        """Scores [N, P, C] and boxes [N, P, 4] in px of the network input, before any selection."""
        return jt.sigmoid(trace.predictions["cls_logits"]), self.boxes(trace)
