"""The head of GFL: class scores that stand for box quality, box sides as distributions.

Owns its layers, its task losses and the parameters of the selection of detections. Source: arXiv:2006.04388.
"""

from __future__ import annotations

from jld.assign.interfaces import Assigner
from jld.boxes.interfaces import PriorGenerator
from jld.losses.reduction import Loss
from jld.models.boxes import DistributionBoxes, distance_bins
from jld.models.heads.dense_head import DenseHead
from jld.models.heads.gfl_losses import gfl_losses
from jld.models.postprocess import Postprocess
from jld.models.trace import Stage
from jld.ops.suppression import Suppression
from jld.registry import HEADS
from jld.toolchain import jittor as jt


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

    boxes: DistributionBoxes

    def __init__(  # noqa: PLR0913 (the signature is the schema of a config section)
        self,
        num_classes: int,
        in_channels: int = 256,
        feat_channels: int = 256,
        stacked_convs: int = 4,
        reg_max: int = 16,
        *,
        priors: PriorGenerator,
        assigner: Assigner,
        loss_cls: Loss,
        loss_dfl: Loss,
        loss_bbox: Loss,
        num_norm_groups: int | None = 32,
        score_threshold: float = 0.05,
        nms_pre: int = 1000,
        nms: Suppression,
        max_per_image: int = 100,
    ):
        self.num_classes, self.boxes = num_classes, distance_bins(reg_max)
        self.priors, self.assigner = priors, assigner
        self.loss_cls, self.loss_dfl, self.loss_bbox = loss_cls, loss_dfl, loss_bbox
        self.postprocess = Postprocess(score_threshold, nms_pre, nms, max_per_image)
        self.make_towers(in_channels, feat_channels, stacked_convs, num_norm_groups)
        self.gfl_cls = self.last_cls(num_classes)
        self.gfl_reg = self.last_conv(self.box_size)
        self.scales = self.level_factors()

    def level_maps(self, cls_maps: list[jt.Var], reg_maps: list[jt.Var]) -> dict[str, list[jt.Var]]:
        """See `DenseHead`."""
        return {
            "cls_logits": self.gfl_cls.levels(cls_maps),
            "box_logits": self.scaled(self.gfl_reg.levels(reg_maps)),
        }

    def losses(self, stage: Stage) -> dict[str, jt.Var]:
        """{"loss_cls", "loss_bbox", "loss_dfl"} of `gfl_losses`, with the highest class score as weight."""
        losses = {"loss_cls": self.loss_cls, "loss_bbox": self.loss_bbox, "loss_dfl": self.loss_dfl}
        return gfl_losses(stage, self.boxes, stage.predictions["cls_logits"], **losses)
