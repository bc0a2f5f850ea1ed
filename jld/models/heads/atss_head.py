"""The head of ATSS, with plain box deltas or with one distribution per box side.

Owns its layers, its task losses and the parameters of the selection of detections. Source: arXiv:1912.02424;
distributions as in the ATSS of HikariTJU/LD.
"""

from __future__ import annotations

from jld.assign.interfaces import Assigner
from jld.boxes.interfaces import BoxCoder, PriorGenerator
from jld.losses.reduction import Loss
from jld.models.boxes import deltas_or_bins
from jld.models.heads.centerness_losses import centerness_losses
from jld.models.heads.dense_head import DenseHead
from jld.models.postprocess import Postprocess
from jld.models.trace import Stage
from jld.ops.suppression import Suppression
from jld.registry import HEADS
from jld.toolchain import jittor as jt
from jld.utils.distributed import mean_over_ranks


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
        priors: PriorGenerator,
        assigner: Assigner,
        box_coder: BoxCoder | None = None,
        loss_cls: Loss,
        loss_bbox: Loss,
        loss_centerness: Loss,
        num_norm_groups: int | None = 32,
        score_threshold: float = 0.05,
        nms_pre: int = 1000,
        nms: Suppression,
        max_per_image: int = 100,
    ):
        self.num_classes, self.boxes = num_classes, deltas_or_bins(box_coder, reg_max, "ATSSHead")
        self.priors, self.assigner = priors, assigner
        self.loss_cls, self.loss_bbox, self.loss_centerness = loss_cls, loss_bbox, loss_centerness
        self.postprocess = Postprocess(score_threshold, nms_pre, nms, max_per_image)
        self.make_towers(in_channels, feat_channels, stacked_convs, num_norm_groups)
        self.atss_cls = self.last_cls(num_classes)
        self.atss_reg = self.last_conv(self.box_size)
        self.atss_centerness = self.last_conv(1)
        self.scales = self.level_factors()

    def prediction_shapes(self) -> dict[str, tuple[int, ...]]:
        """See `DenseHead`."""
        return {**super().prediction_shapes(), "centerness_logits": ()}

    def level_maps(self, cls_maps: list[jt.Var], reg_maps: list[jt.Var]) -> dict[str, list[jt.Var]]:
        """See `DenseHead`."""
        return {
            "cls_logits": self.atss_cls.levels(cls_maps),
            "centerness_logits": self.atss_centerness.levels(reg_maps),
            self.boxes.key: self.scaled(self.atss_reg.levels(reg_maps)),
        }

    def losses(self, stage: Stage) -> dict[str, jt.Var]:
        """{"loss_cls", "loss_bbox", "loss_centerness"} of `centerness_losses`.

        N_pos, the sum over images of max(positives, 1), is averaged over ranks.
        """
        num_pos = jt.maximum(mean_over_ranks(stage.assigned.num_total_pos.float32()), 1.0)
        losses = {
            "loss_cls": self.loss_cls,
            "loss_bbox": self.loss_bbox,
            "loss_centerness": self.loss_centerness,
        }
        return centerness_losses(
            stage, self.boxes, num_pos, min_weight_sum=self.min_weight_sum, frame="image", **losses
        )
