"""The head of RetinaNet, with plain box deltas or with one distribution per box side.

Owns its layers, its task losses and the parameters of the selection of detections. Source: arXiv:1708.02002;
distributions as in the RetinaNet of HikariTJU/LD.
"""

from __future__ import annotations

from jld.assign.interfaces import Assigner
from jld.boxes.interfaces import BoxCoder, PriorGenerator
from jld.errors import ConfigError
from jld.losses.reduction import Loss
from jld.models.boxes import box_loss, deltas_or_bins, targets_or_places
from jld.models.heads.dense_head import DenseHead
from jld.models.postprocess import make_postprocess
from jld.models.trace import Stage
from jld.ops.suppression import Suppression
from jld.registry import HEADS
from jld.toolchain import jittor as jt
from jld.utils.distributed import mean_over_ranks


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
        candidates: see `make_postprocess`.
        normalizer_momentum: the losses are divided by a moving average of the number of positives, in which
            the past has this share (0.9 in detectron2); None: by the number of the batch.
        normalizer_start: what the average starts from.
    Raises:
        ConfigError: neither `reg_max` nor `box_coder`, or both; a momentum outside [0, 1).
    Source: arXiv:1708.02002 and mmDetection's RetinaHead; HikariTJU/LD's RetinaGFLHead, whose names of the
        last layers (`atss_*`) are kept with `reg_max`, so that its weights load; detectron2 0.3's RetinaNet.
    Differs: the moving average is saved with the weights and equal on all ranks (detectron2 keeps one per
        process and forgets it).
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
        box_coder: BoxCoder | None = None,
        loss_cls: Loss,
        loss_bbox: Loss,
        reg_decoded_bbox: bool = False,
        score_threshold: float = 0.05,
        nms_pre: int = 1000,
        nms: Suppression,
        max_per_image: int = 100,
        candidates: str = "priors",
        normalizer_momentum: float | None = None,
        normalizer_start: float = 100.0,
    ):
        self.num_classes, self.boxes = num_classes, deltas_or_bins(box_coder, reg_max, "RetinaHead")
        self.priors, self.assigner = priors, assigner
        self.loss_cls, self.loss_bbox = loss_cls, loss_bbox
        self.postprocess = make_postprocess(candidates, score_threshold, nms_pre, nms, max_per_image)
        self.make_towers(in_channels, feat_channels, stacked_convs, None)
        self._family, self._frame = "retina", "image" if reg_decoded_bbox else None
        if reg_max is not None:
            self._family, self._frame = "atss", "strides"
        setattr(self, f"{self._family}_cls", self.last_cls(num_classes))
        setattr(self, f"{self._family}_reg", self.last_conv(self.box_size))
        self.normalizer_momentum = normalizer_momentum
        if normalizer_momentum is not None:
            if not 0 <= normalizer_momentum < 1:
                raise ConfigError(
                    f"RetinaHead: normalizer_momentum must be in [0, 1), as 0.9, not {normalizer_momentum}."
                )
            self.loss_normalizer = jt.array([float(normalizer_start)]).stop_grad()

    def level_maps(self, cls_maps: list[jt.Var], reg_maps: list[jt.Var]) -> dict[str, list[jt.Var]]:
        """See `DenseHead`."""
        last_cls, last_reg = (getattr(self, f"{self._family}_{kind}") for kind in ("cls", "reg"))
        return {"cls_logits": last_cls.levels(cls_maps), self.boxes.key: last_reg.levels(reg_maps)}

    def losses(self, stage: Stage) -> dict[str, jt.Var]:
        """Task losses, dense over all priors and zero-weighted where they do not apply.

        Both are sums divided by N_pos, the sum over the rank's own images of max(positives, 1). As in the
        reference, N_pos is not averaged over ranks. With `normalizer_momentum` N_pos is the moving average,
        which every call of this method moves.

        Returns:
            {"loss_cls", "loss_bbox"}: scalars, summed over levels and images; zero box loss without
            positives.
        """
        assignment, num_pos = stage.assigned, self._num_pos(stage)
        loss_cls = self.loss_cls(
            stage.predictions["cls_logits"],
            assignment.labels,
            weight=assignment.label_weights,
            avg_factor=num_pos,
        )
        loss_bbox = box_loss(
            self.loss_bbox,
            self.boxes,
            stage.predictions[self.boxes.key],
            stage.places,
            targets_or_places(stage.places, assignment),
            frame=self._frame,
            weight=assignment.positive_mask,
            avg_factor=num_pos,
        )
        return {"loss_cls": loss_cls, "loss_bbox": loss_bbox}

    def _num_pos(self, stage: Stage) -> jt.Var:
        """N_pos of `losses`, scalar."""
        if self.normalizer_momentum is None:
            return stage.assigned.num_total_pos.float32()
        found = jt.maximum(mean_over_ranks(stage.assigned.positive_mask.sum()), 1.0)
        share = self.normalizer_momentum
        average = (self.loss_normalizer * share + found * (1.0 - share)).detach()
        self.loss_normalizer.update(average)
        return average
