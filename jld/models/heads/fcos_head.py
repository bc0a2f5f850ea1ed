"""The head of FCOS, with plain distances or with one distribution per box side.

Owns its layers, its task losses and the parameters of the selection of detections; which points learn which
object is the assigner's. Source: arXiv:1904.01355; distributions as in the FCOS of HikariTJU/LD.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jld.boxes.centerness import centerness
from jld.boxes.distances import bbox2distance, distance2bbox
from jld.models.heads.dense_head import DenseHead, sides_shape
from jld.models.heads.distribution import conv_tower, flatten_levels
from jld.models.layers import Scale, init_normal, prior_probability_bias
from jld.models.postprocess import Postprocess
from jld.models.targets import Targets
from jld.models.trace import Trace
from jld.ops.conv2d import Conv2d
from jld.ops.expectation import expected_bins
from jld.registry import HEADS
from jld.toolchain import jittor as jt
from jld.utils.distributed import mean_over_ranks

nn = jt.nn


@HEADS.register
class FCOSHead(DenseHead):
    """Head of FCOS: focal scores, a box and its centerness per point.

    Predictions:
        cls_logits: [N, P, C] one sigmoid per class.
        centerness_logits: [N, P] one sigmoid: how central the point lies in its object.
        box_distances: [N, P, 4] distance in px from the point to the left, top, right and bottom side; absent
            with `reg_max`.
        box_logits: [N, P, 4, B] with `reg_max`: distribution of these distances, B = reg_max + 1 bins of one
            stride each, after the learnable factor of the level.

    Args:
        num_classes: C.
        in_channels: channels of the neck's maps.
        feat_channels: width of the two towers.
        stacked_convs: convolutions in each tower.
        reg_max: B - 1, the largest distance in strides, or None for plain distances.
        priors: prior generator with one prior per cell whose centre is the point: AnchorGenerator with
            center_offset=0.5.
        assigner: who is positive, for example FCOSAssigner.
        loss_cls: focal loss.
        loss_bbox: box loss on corners in px.
        loss_centerness: binary cross entropy.
        num_norm_groups: groups of the towers' normalisation; None: no normalisation, convolutions with bias.
        conv_bias: the towers' convolutions have a bias besides their normalisation.
        centerness_on_reg: the centerness reads the tower of the boxes instead of that of the classes.
        norm_on_bbox: a plain distance is ReLU of the output times the stride, instead of its exponential.
        score_threshold, nms_pre, nms, max_per_image: see `Postprocess`; detections are ranked by score times
            centerness.
    Source: arXiv:1904.01355 and mmDetection's FCOSHead; HikariTJU/LD's FCOSGFLHead.
    """

    num_sides = 4
    # Floor of the summed centerness that divides the box loss.
    min_weight_sum = 1e-6

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
        loss_cls: Any,
        loss_bbox: Any,
        loss_centerness: Any,
        num_norm_groups: int | None = 32,
        conv_bias: bool = False,
        centerness_on_reg: bool = False,
        norm_on_bbox: bool = False,
        score_threshold: float = 0.05,
        nms_pre: int = 1000,
        nms: Any,
        max_per_image: int = 100,
    ):
        self.num_classes, self.reg_max = num_classes, reg_max
        self.priors, self.assigner = priors, assigner
        self.loss_cls, self.loss_bbox, self.loss_centerness = loss_cls, loss_bbox, loss_centerness
        self.centerness_on_reg, self.norm_on_bbox = centerness_on_reg, norm_on_bbox
        self.postprocess = Postprocess(score_threshold, nms_pre, nms, max_per_image)
        self.cls_convs, self.reg_convs = (
            conv_tower(in_channels, feat_channels, stacked_convs, num_norm_groups, bias=conv_bias or None)
            for _ in range(2)
        )
        per_prior = self.num_sides * (1 if reg_max is None else reg_max + 1)
        self.conv_cls = Conv2d(feat_channels, num_classes, 3, padding=1)
        self.conv_reg = Conv2d(feat_channels, per_prior, 3, padding=1)
        self.conv_centerness = Conv2d(feat_channels, 1, 3, padding=1)
        self.scales = nn.Sequential(*(Scale() for _ in priors.strides))
        init_normal(self.conv_cls, bias=prior_probability_bias(0.01))
        init_normal(self.conv_reg)
        init_normal(self.conv_centerness)

    def prediction_shapes(self) -> dict[str, tuple[int, ...]]:
        """{key of the predictions: trailing shape per prior}; distillation compares models by it."""
        box = sides_shape(self.num_sides, self.reg_max, "box_distances")
        return {"cls_logits": (self.num_classes,), "centerness_logits": (), **box}

    def execute(self, features: Sequence[jt.Var]) -> dict[str, jt.Var]:
        """Predictions (see the class) for the neck's maps [N, D, H_l, W_l], fine to coarse."""
        cls_maps, centerness_maps, box_maps = [], [], []
        for x, scale, stride in zip(features, self.scales, self.priors.strides, strict=True):
            cls_features, reg_features = self.cls_convs(x), self.reg_convs(x)
            cls_maps.append(self.conv_cls(cls_features))
            centerness_maps.append(
                self.conv_centerness(reg_features if self.centerness_on_reg else cls_features)
            )
            box_maps.append(self._box_map(scale(self.conv_reg(reg_features)), stride))
        shapes = self.prediction_shapes()
        return {
            key: flatten_levels(maps, per_prior=shapes[key])
            for key, maps in zip(shapes, (cls_maps, centerness_maps, box_maps), strict=True)
        }

    def _box_map(self, x: jt.Var, stride: int) -> jt.Var:
        """Logits as they are, or distances in px."""
        if self.reg_max is not None:
            return x
        return nn.relu(x) * stride if self.norm_on_bbox else jt.exp(x)

    def distances(self, trace: Trace) -> jt.Var:
        """[N, P, 4] predicted distances in px from the points to the left, top, right and bottom side."""
        if self.reg_max is None:
            return trace.predictions["box_distances"]
        return expected_bins(trace.predictions["box_logits"]) * trace.priors.strides.unsqueeze(-1)

    def losses(self, trace: Trace, assignment: Any, targets: Targets) -> dict[str, jt.Var]:
        """Task losses, dense over all points and zero-weighted where they do not apply.

        With c the centerness of a positive point: `loss_cls` = focal / N_pos, `loss_bbox` = sum c L_box /
        sum c, `loss_centerness` = sum of cross entropies against c / N_pos; N_pos, the number of positives,
        and sum c are averaged over ranks.

        Returns:
            {"loss_cls", "loss_bbox", "loss_centerness"}: scalars, summed over levels and images; the last two
            are zero without positives.
        """
        positive = assignment.positive_mask
        num_pos = jt.maximum(mean_over_ranks(positive.sum()), 1.0)
        wanted = bbox2distance(trace.priors.centers, assignment.target_boxes)
        quality = (centerness(wanted) * positive).stop_grad()  # [N, P]
        quality_sum = jt.maximum(mean_over_ranks(quality.sum()), self.min_weight_sum)
        # Where nothing is assigned a box of two strides stands in: an empty one would put 0 / 0 under a zero
        # weight.
        inside = positive.unsqueeze(-1)
        wanted = wanted * inside + trace.priors.strides.unsqueeze(-1) * (1.0 - inside)
        return {
            "loss_cls": self.loss_cls(
                trace.predictions["cls_logits"],
                assignment.labels,
                weight=assignment.label_weights,
                avg_factor=num_pos,
            ),
            "loss_bbox": self.loss_bbox(
                _around_origin(self.distances(trace)),
                _around_origin(wanted).stop_grad(),
                weight=quality,
                avg_factor=quality_sum,
            ),
            "loss_centerness": self.loss_centerness(
                trace.predictions["centerness_logits"], quality, weight=positive, avg_factor=num_pos
            ),
        }

    def dense_detections(self, trace: Trace) -> tuple[jt.Var, jt.Var]:
        """Scores [N, P, C] and boxes [N, P, 4] in px of the network input, before any selection."""
        boxes = distance2bbox(trace.priors.centers, self.distances(trace))
        return jt.sigmoid(trace.predictions["cls_logits"]), boxes


def _around_origin(distances: jt.Var) -> jt.Var:
    # Overlaps do not depend on where the point lies; beside large coordinates short distances lose digits.
    return distance2bbox(jt.zeros((2,)), distances)
