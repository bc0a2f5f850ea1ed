"""The head of GFLv2: the shape of the side distributions tells how far a class score can be trusted.

Owns its layers and the parameters of the selection of detections; the task losses are GFL's. Source:
arXiv:2011.12885.
"""

from __future__ import annotations

from collections.abc import Mapping

from jld.assign.interfaces import Assigner
from jld.boxes.interfaces import PriorGenerator
from jld.errors import ConfigError
from jld.losses.reduction import Loss
from jld.models.boxes import DistributionBoxes, distance_bins
from jld.models.heads.dense_head import DenseHead
from jld.models.heads.gfl_losses import gfl_losses
from jld.models.layers import init_normal
from jld.models.postprocess import Postprocess
from jld.models.trace import Hidden, Stage
from jld.ops.conv2d import Conv2d
from jld.ops.suppression import Suppression
from jld.registry import HEADS
from jld.toolchain import jittor as jt

nn = jt.nn


@HEADS.register
class GFLv2Head(DenseHead):
    """Head of generalized focal loss V2: class probability times a quality read off the box distributions.

    Predictions:
        cls_logits: [N, P, C'] classification before its sigmoid and without the quality. C' is C, or C + 1
            with `background_channel`.
        scores: [N, P, C'] sigmoid(cls_logits) * quality, the expected IoU of the box if it has the class; its
            gradient reaches the box distributions through the quality.
        box_logits: [N, P, 4, B] distribution of the distance from the prior's centre to the left, top, right
            and bottom side, B = reg_max + 1 bins of one stride each, after the learnable factor of the level.

    Args:
        num_classes: C.
        in_channels: channels of the neck's maps.
        feat_channels: width of the two towers.
        stacked_convs: convolutions in each tower.
        reg_max: largest distance in strides; B - 1.
        reg_topk: largest probabilities of every side that the quality is read from.
        add_mean: their mean is read as well.
        reg_channels: hidden width of the quality branch.
        background_channel: the classification has one more channel, trained towards 0 everywhere and left out
            of the detections. The released weights have it, by accident of the reference's rule for losses
            without a sigmoid, so it is needed to load them, and their teachers' classes count it.
        priors: prior generator, for example AnchorGenerator.
        assigner: who is positive, for example ATSSAssigner.
        loss_cls: quality focal loss with use_sigmoid=False, called with (labels, qualities).
        loss_dfl: distribution focal loss on distances in strides.
        loss_bbox: box loss on corners in strides.
        num_norm_groups: groups of the towers' normalisation; None: no normalisation, convolutions with bias.
        score_threshold, nms_pre, nms, max_per_image: see `Postprocess`.
    Raises:
        ConfigError: `loss_cls` expects logits, or `reg_topk` is not in [1, B].
    Source: arXiv:2011.12885, section 3 (distribution-guided quality predictor); HikariTJU/LD's GFocalHead.
    """

    boxes: DistributionBoxes
    class_keys = ("cls_logits", "scores")

    def __init__(  # noqa: PLR0913 (the signature is the schema of a config section)
        self,
        num_classes: int,
        in_channels: int = 256,
        feat_channels: int = 256,
        stacked_convs: int = 4,
        reg_max: int = 16,
        *,
        reg_topk: int = 4,
        add_mean: bool = True,
        reg_channels: int = 64,
        background_channel: bool = False,
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
        _check_options(loss_cls, reg_topk, reg_max + 1)
        self.num_classes, self.boxes = num_classes, distance_bins(reg_max)
        self.reg_topk, self.add_mean = reg_topk, add_mean
        self.num_channels = num_classes + int(background_channel)
        self.priors, self.assigner = priors, assigner
        self.loss_cls, self.loss_dfl, self.loss_bbox = loss_cls, loss_dfl, loss_bbox
        self.postprocess = Postprocess(score_threshold, nms_pre, nms, max_per_image)
        self.make_towers(in_channels, feat_channels, stacked_convs, num_norm_groups)
        self.gfl_cls = self.last_cls(self.num_channels)
        self.gfl_reg = self.last_conv(self.box_size)
        statistics = self.boxes.num_sides * (reg_topk + int(add_mean))
        self.reg_conf = nn.Sequential(
            Conv2d(statistics, reg_channels, 1), nn.ReLU(), Conv2d(reg_channels, 1, 1), nn.Sigmoid()
        )
        self.scales = self.level_factors()
        init_normal(self.reg_conf[0])
        init_normal(self.reg_conf[2])

    def prediction_shapes(self) -> dict[str, tuple[int, ...]]:
        """See `DenseHead`."""
        classes = (self.num_channels,)
        return {"cls_logits": classes, "scores": classes, self.boxes.key: self.boxes.shape}

    def level_maps(self, cls_maps: list[jt.Var], reg_maps: list[jt.Var]) -> dict[str, list[jt.Var]]:
        """See `DenseHead`; without `scores`, which take all levels at once."""
        return {
            "cls_logits": self.gfl_cls.levels(cls_maps),
            "box_logits": self.scaled(self.gfl_reg.levels(reg_maps)),
        }

    def resume(self, hidden: Hidden, after: int) -> dict[str, jt.Var]:
        """See `DenseHead`."""
        found = super().resume(hidden, after)
        scores = jt.sigmoid(found["cls_logits"]) * self.quality(found["box_logits"]).unsqueeze(-1)
        return {**found, "scores": scores}

    def quality(self, box_logits: jt.Var) -> jt.Var:
        """[N, P] in (0, 1): how sure the side distributions [N, P, 4, B] are; the same network everywhere."""
        statistics = side_statistics(box_logits, self.reg_topk, with_mean=self.add_mean)  # [N, P, S]
        columns = statistics.permute(0, 2, 1).unsqueeze(3)  # [N, S, P, 1]
        return self.reg_conf(columns).reshape(box_logits.shape[:2])

    def losses(self, stage: Stage) -> dict[str, jt.Var]:
        """{"loss_cls", "loss_bbox", "loss_dfl"} of `gfl_losses`, with the highest score as weight."""
        losses = {"loss_cls": self.loss_cls, "loss_bbox": self.loss_bbox, "loss_dfl": self.loss_dfl}
        return gfl_losses(stage, self.boxes, stage.predictions["scores"], **losses)

    def probabilities(self, predictions: Mapping[str, jt.Var]) -> jt.Var:
        """[N, P, C] classification times quality, without the channel of background."""
        return predictions["scores"][:, :, : self.num_classes]

    def confidence(self, predictions: Mapping[str, jt.Var]) -> jt.Var:
        """[N, P] the highest score; the channel of background, which learns 0, counts as in the reference."""
        return predictions["scores"].max(dim=-1)


def side_statistics(box_logits: jt.Var, topk: int, *, with_mean: bool = True) -> jt.Var:
    """What the quality is read from: the largest probabilities of every side, and their mean.

    Args:
        box_logits: [N, P, 4, B].
        topk: how many probabilities, largest first.
        with_mean: append their mean.
    Returns:
        [N, P, S] side after side, S = 4 * (topk + 1) with the mean.
    Source: arXiv:2011.12885, equation 4.
    """
    largest, _ = jt.topk(nn.softmax(box_logits, dim=-1), topk, dim=-1)  # [N, P, 4, topk]
    if with_mean:
        largest = jt.concat([largest, largest.mean(dim=-1, keepdims=True)], dim=-1)
    return largest.reshape((*box_logits.shape[:2], -1))


def _check_options(loss_cls: Loss, reg_topk: int, num_bins: int) -> None:
    if getattr(loss_cls, "use_sigmoid", False):
        raise ConfigError(
            "GFLv2Head predicts probabilities, but its loss_cls takes logits: set loss_cls.use_sigmoid=False."
        )
    if not 1 <= reg_topk <= num_bins:
        raise ConfigError(f"GFLv2Head: reg_topk is {reg_topk}, it must be between 1 and {num_bins} bins.")
