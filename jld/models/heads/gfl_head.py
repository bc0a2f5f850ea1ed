"""The head of GFL: class scores that stand for box quality, box sides as distributions.

Owns its layers, its task losses and the parameters of the selection of detections. Source: arXiv:2006.04388.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jld.models.heads.dense_head import DenseHead
from jld.models.heads.distribution import conv_tower, decode_distributions, flatten_levels
from jld.models.heads.gfl_losses import gfl_losses
from jld.models.layers import Scale, init_normal, prior_probability_bias
from jld.models.postprocess import Postprocess
from jld.models.targets import Targets
from jld.models.trace import Trace
from jld.ops.conv2d import Conv2d
from jld.registry import HEADS
from jld.toolchain import jittor as jt

nn = jt.nn


@HEADS.register
class GFLHead(DenseHead):
    """Head of generalized focal loss: quality scores and box side distributions.

    Predictions:
        cls_logits: [N, P, C] one sigmoid per class; its value is the expected IoU of the box.
        box_logits: [N, P, 4, B] distribution of the distance from the prior's centre to the left, top, right
            and bottom side, B = reg_max + 1 bins of one stride each, after the learnable factor of the level.

    Args:
        num_classes: C.
        in_channels: channels of the neck's maps.
        feat_channels: width of the two towers.
        stacked_convs: convolutions in each tower.
        reg_max: largest distance in strides; B - 1.
        priors: prior generator, for example AnchorGenerator.
        assigner: who is positive, for example ATSSAssigner.
        loss_cls: quality focal loss, called with (labels, qualities).
        loss_dfl: distribution focal loss on distances in strides.
        loss_bbox: box loss on corners in strides.
        num_norm_groups: groups of the towers' normalisation; None: no normalisation, convolutions with bias.
        score_threshold, nms_pre, nms, max_per_image: see `Postprocess`.
    Source: arXiv:2006.04388 and mmDetection's GFLHead.
    Differs: a batch without positives has box losses of zero instead of NaN, because the summed weight W that
        divides them is at least 1e-6. (mmDetection's GFLHead divides by W, its LDHead by W + 1e-6; the three
        agree to 1e-6 / W.)
    """

    num_sides = 4

    def __init__(  # noqa: PLR0913 (the signature is the schema of a config section)
        self,
        num_classes: int,
        in_channels: int = 256,
        feat_channels: int = 256,
        stacked_convs: int = 4,
        reg_max: int = 16,
        *,
        priors: Any,
        assigner: Any,
        loss_cls: Any,
        loss_dfl: Any,
        loss_bbox: Any,
        num_norm_groups: int | None = 32,
        score_threshold: float = 0.05,
        nms_pre: int = 1000,
        nms: Any,
        max_per_image: int = 100,
    ):
        self.num_classes, self.reg_max = num_classes, reg_max
        self.priors, self.assigner = priors, assigner
        self.loss_cls, self.loss_dfl, self.loss_bbox = loss_cls, loss_dfl, loss_bbox
        self.postprocess = Postprocess(score_threshold, nms_pre, nms, max_per_image)
        cells = priors.num_per_cell
        self.cls_convs = conv_tower(in_channels, feat_channels, stacked_convs, num_norm_groups)
        self.reg_convs = conv_tower(in_channels, feat_channels, stacked_convs, num_norm_groups)
        self.gfl_cls = Conv2d(feat_channels, cells * num_classes, 3, padding=1)
        self.gfl_reg = Conv2d(feat_channels, cells * self.num_sides * (reg_max + 1), 3, padding=1)
        self.scales = nn.Sequential(*(Scale() for _ in priors.strides))
        init_normal(self.gfl_cls, bias=prior_probability_bias(0.01))
        init_normal(self.gfl_reg)

    def prediction_shapes(self) -> dict[str, tuple[int, ...]]:
        """{key of the predictions: trailing shape per prior}; distillation compares models by it."""
        return {"cls_logits": (self.num_classes,), "box_logits": (self.num_sides, self.reg_max + 1)}

    def execute(self, features: Sequence[jt.Var]) -> dict[str, jt.Var]:
        """Predictions (see the class) for the neck's maps [N, D, H_l, W_l], fine to coarse."""
        cls_maps, box_maps = [], []
        for x, scale in zip(features, self.scales, strict=True):
            cls_maps.append(self.gfl_cls(self.cls_convs(x)))
            box_maps.append(scale(self.gfl_reg(self.reg_convs(x))))
        shapes = self.prediction_shapes()
        return {
            "cls_logits": flatten_levels(cls_maps, per_prior=shapes["cls_logits"]),
            "box_logits": flatten_levels(box_maps, per_prior=shapes["box_logits"]),
        }

    def losses(self, trace: Trace, assignment: Any, targets: Targets) -> dict[str, jt.Var]:
        """{"loss_cls", "loss_bbox", "loss_dfl"} of `gfl_losses`, with the highest class score as weight."""
        cls_logits = trace.predictions["cls_logits"]
        # The sigmoid is monotone, so the largest score is that of the largest logit.
        confidence = jt.sigmoid(cls_logits.max(dim=-1))
        losses = {"loss_cls": self.loss_cls, "loss_bbox": self.loss_bbox, "loss_dfl": self.loss_dfl}
        return gfl_losses(trace, assignment, cls_logits, confidence, **losses)

    def dense_detections(self, trace: Trace) -> tuple[jt.Var, jt.Var]:
        """Scores [N, P, C] and boxes [N, P, 4] in px of the network input, before any selection."""
        priors = trace.priors
        boxes = decode_distributions(trace.predictions["box_logits"], priors.centers, priors.strides)
        return jt.sigmoid(trace.predictions["cls_logits"]), boxes
