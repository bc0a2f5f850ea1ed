"""The head of rotated RetinaNet, with plain box deltas or with one distribution per delta.

Owns its layers, its task losses and the parameters of the selection of detections; the box coder knows the
angle version, the assigner whether ground truth is matched as it lies or by its circumscribed upright box.
Source: arXiv:1708.02002 with rotated boxes as in mmRotate (arXiv:2204.13317); distributions arXiv:2204.05957.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from jld.assign.interfaces import Assigner
from jld.boxes.interfaces import BoxCoder, PriorGenerator
from jld.boxes.places import on_grid
from jld.errors import ConfigError, one_of
from jld.losses.reduction import Loss
from jld.models.boxes import DeltaBoxes, DistributionBoxes, box_loss, targets_or_places
from jld.models.heads.dense_head import DenseHead
from jld.models.interface import StageInterface
from jld.models.postprocess import RotatedPostprocess
from jld.models.trace import Stage
from jld.ops.suppression import Suppression
from jld.registry import HEADS
from jld.toolchain import jittor as jt

BOX_NORMALIZERS = ("positives", "positives_per_level")


@HEADS.register
class RotatedRetinaHead(DenseHead):
    """Head of rotated RetinaNet: focal scores and five box deltas per prior (dx, dy, dw, dh, dangle).

    Predictions:
        cls_logits: [N, P, C] one sigmoid per class.
        box_deltas: [N, P, 5] what `box_coder` decodes; absent with `reg_max`.
        box_logits: [N, P, 5, B] with `reg_max`: a distribution over B = reg_max + 1 fixed values of every
            delta; the delta is its expectation.

    Args:
        num_classes: C.
        in_channels: channels of the neck's maps.
        feat_channels: width of the two towers.
        stacked_convs: convolutions in each tower.
        reg_max: B - 1, or None for plain deltas.
        priors: prior generator, for example RotatedAnchorGenerator.
        assigner: who is positive, for example MaxIoUAssigner with RotatedOverlap.
        box_coder: deltas from and to boxes, for example DeltaXYWHAOBBoxCoder.
        loss_cls: focal loss.
        loss_bbox: box loss, on deltas or (`reg_decoded_bbox`) on boxes; KFLoss is given both.
        kernel_size: of the two last convolutions; 3 (mmRotate) or 1 (JDet).
        delta_range, angle_range: first and last of the B values for the first four deltas and for the angle,
            in the units of the coder. The released (-5, 2) lets a box turn by -5 to 2 radians.
        reg_decoded_bbox: the box loss compares boxes in px instead of deltas.
        box_normalizer: what divides the sum of box losses: `positives` N_pos of all levels together, or
            `positives_per_level`, the mean over each level's own positives, added up (the released
            GDLoss_v1).
        clamp_centers, score_threshold, nms_pre, nms, max_per_image: see `RotatedPostprocess`.
    Raises:
        ConfigError: even kernel, unknown normalizer or one that the box loss overrules, a range without
        width.
    Source: mmRotate's RotatedRetinaHead and KFIoURRetinaHead; Zzh-tju/Rotated-LD's
        RotatedRetinaHeadDistribution; JDet's heads of the same names.
    Differs: with `reg_max` the loss on deltas works as well (the released distribution head can only be
        trained on decoded boxes).
    """

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
        box_coder: BoxCoder,
        loss_cls: Loss,
        loss_bbox: Loss,
        kernel_size: int = 3,
        delta_range: Sequence[float] = (-2.0, 2.0),
        angle_range: Sequence[float] = (-5.0, 2.0),
        reg_decoded_bbox: bool = False,
        box_normalizer: str = "positives",
        clamp_centers: bool = True,
        score_threshold: float = 0.05,
        nms_pre: int = 2000,
        nms: Suppression,
        max_per_image: int = 2000,
    ):
        _check_options(kernel_size, box_normalizer, loss_bbox)
        self.num_classes, self.boxes = num_classes, DeltaBoxes(box_coder)
        if reg_max is not None:
            pairs = [(float(first), float(last)) for first, last in (delta_range, angle_range)]
            self.boxes = DistributionBoxes(self.boxes, reg_max + 1, (pairs[0],) * 4 + (pairs[1],))
        self.priors, self.assigner = priors, assigner
        self.loss_cls, self.loss_bbox = loss_cls, loss_bbox
        self.reg_decoded_bbox, self.box_normalizer = reg_decoded_bbox, box_normalizer
        self.postprocess = RotatedPostprocess(score_threshold, nms_pre, nms, max_per_image, clamp_centers)
        self.make_towers(in_channels, feat_channels, stacked_convs, None)
        self.retina_cls = self.last_cls(num_classes, kernel_size)
        self.retina_reg = self.last_conv(self.box_size, kernel_size)

    @property
    def interface(self) -> StageInterface:
        """See `DenseHead`."""
        return replace(super().interface, turned_is_same=getattr(self.loss_bbox, "turned_is_same", False))

    def level_maps(self, cls_maps: list[jt.Var], reg_maps: list[jt.Var]) -> dict[str, list[jt.Var]]:
        """See `DenseHead`."""
        return {
            "cls_logits": self.retina_cls.levels(cls_maps),
            self.boxes.key: self.retina_reg.levels(reg_maps),
        }

    def losses(self, stage: Stage) -> dict[str, jt.Var]:
        """Task losses, dense over all priors and zero-weighted where they do not apply.

        `loss_cls` is the focal loss over N_pos, the sum over the rank's own images of max(positives, 1);
        `loss_bbox` is divided as `box_normalizer` says. As in the reference, N_pos is not averaged over
        ranks.

        Returns:
            {"loss_cls", "loss_bbox"}: scalars, summed over levels and images; zero box loss without
            positives.
        """
        assignment, num_pos = stage.assigned, stage.assigned.num_total_pos.float32()
        loss_cls = self.loss_cls(
            stage.predictions["cls_logits"],
            assignment.labels,
            weight=assignment.label_weights,
            avg_factor=num_pos,
        )
        weight = assignment.positive_mask
        if self.box_normalizer == "positives_per_level":
            weight, num_pos = _divided_per_level(weight, on_grid(stage.places).level_slices), 1.0
        loss_bbox = box_loss(
            self.loss_bbox,
            self.boxes,
            stage.predictions[self.boxes.key],
            stage.places,
            targets_or_places(stage.places, assignment),
            frame="image" if self.reg_decoded_bbox else None,
            weight=weight,
            avg_factor=num_pos,
        )
        return {"loss_cls": loss_cls, "loss_bbox": loss_bbox}


def _check_options(kernel_size: int, box_normalizer: str, loss_bbox: Loss) -> None:
    if kernel_size % 2 == 0:
        raise ConfigError(f"RotatedRetinaHead: kernel_size is {kernel_size}, it must be odd: 3 or 1.")
    one_of(box_normalizer, BOX_NORMALIZERS, f"unknown box_normalizer {box_normalizer!r}")
    if box_normalizer == "positives_per_level" and getattr(loss_bbox, "average", "") == "positives":
        raise ConfigError(
            f"RotatedRetinaHead: {type(loss_bbox).__name__}(average='positives') averages over all levels; "
            "with box_normalizer='positives_per_level' set average='avg_factor'."
        )


def _divided_per_level(positive: jt.Var, level_slices: Sequence[slice]) -> jt.Var:
    """[N, P] 1 / (positives of the batch on the prior's level) at positives, else 0."""
    levels = [positive[:, level] for level in level_slices]
    return jt.concat([level / jt.maximum(level.sum(), 1.0) for level in levels], dim=1).detach()
