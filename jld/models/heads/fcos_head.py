"""The head of FCOS, with plain distances or with one distribution per box side.

Owns its layers, its task losses and the parameters of the selection of detections; which points learn which
object is the assigner's. Source: arXiv:1904.01355; distributions as in the FCOS of HikariTJU/LD.
"""

from __future__ import annotations

from jld.assign.interfaces import Assigner
from jld.boxes.interfaces import PriorGenerator
from jld.losses.reduction import Loss
from jld.models.boxes import distances_or_bins
from jld.models.heads.centerness_losses import centerness_losses
from jld.models.heads.dense_head import DenseHead
from jld.models.postprocess import make_postprocess
from jld.models.trace import Stage
from jld.ops.suppression import Suppression
from jld.registry import HEADS
from jld.toolchain import jittor as jt
from jld.utils.distributed import mean_over_ranks


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
        candidates: see `make_postprocess`; with pairs the rank is the root of score times centerness.
    Source: arXiv:1904.01355 and mmDetection's FCOSHead; HikariTJU/LD's FCOSGFLHead; cvpods' FCOS.
    """

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
        priors: PriorGenerator,
        assigner: Assigner,
        loss_cls: Loss,
        loss_bbox: Loss,
        loss_centerness: Loss,
        num_norm_groups: int | None = 32,
        conv_bias: bool = False,
        centerness_on_reg: bool = False,
        norm_on_bbox: bool = False,
        score_threshold: float = 0.05,
        nms_pre: int = 1000,
        nms: Suppression,
        max_per_image: int = 100,
        candidates: str = "priors",
    ):
        self.num_classes = num_classes
        self.boxes = distances_or_bins(reg_max, "relu" if norm_on_bbox else "exp")
        self.priors, self.assigner = priors, assigner
        self.loss_cls, self.loss_bbox, self.loss_centerness = loss_cls, loss_bbox, loss_centerness
        self.centerness_on_reg = centerness_on_reg
        self.postprocess = make_postprocess(candidates, score_threshold, nms_pre, nms, max_per_image)
        self.make_towers(in_channels, feat_channels, stacked_convs, num_norm_groups, bias=conv_bias or None)
        self.conv_cls = self.last_cls(num_classes)
        self.conv_reg = self.last_conv(self.box_size)
        self.conv_centerness = self.last_conv(1)
        self.scales = self.level_factors()

    def prediction_shapes(self) -> dict[str, tuple[int, ...]]:
        """See `DenseHead`."""
        return {**super().prediction_shapes(), "centerness_logits": ()}

    def level_maps(self, cls_maps: list[jt.Var], reg_maps: list[jt.Var]) -> dict[str, list[jt.Var]]:
        """See `DenseHead`."""
        central = reg_maps if self.centerness_on_reg else cls_maps
        box_maps = zip(self.scaled(self.conv_reg.levels(reg_maps)), self.priors.strides, strict=True)
        return {
            "cls_logits": self.conv_cls.levels(cls_maps),
            "centerness_logits": self.conv_centerness.levels(central),
            self.boxes.key: [self.boxes.from_map(*pair) for pair in box_maps],
        }

    def losses(self, stage: Stage) -> dict[str, jt.Var]:
        """{"loss_cls", "loss_bbox", "loss_centerness"} of `centerness_losses`.

        N_pos, the number of positives, is averaged over ranks.
        """
        num_pos = jt.maximum(mean_over_ranks(stage.assigned.positive_mask.sum()), 1.0)
        losses = {
            "loss_cls": self.loss_cls,
            "loss_bbox": self.loss_bbox,
            "loss_centerness": self.loss_centerness,
        }
        return centerness_losses(
            stage, self.boxes, num_pos, min_weight_sum=self.min_weight_sum, frame="point", **losses
        )
