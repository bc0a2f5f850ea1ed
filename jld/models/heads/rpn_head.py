"""The region proposal network: which anchors hold an object, whatever its class, and where it lies.

Source: arXiv:1506.01497, section 3; conventions of mmDetection, those of detectron2 by options.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jld.assign.assignment import Assignment
from jld.assign.interfaces import Assigner
from jld.assign.sampling import Sampler
from jld.boxes.formats import split_corners
from jld.boxes.interfaces import BoxCoder, PriorGenerator
from jld.boxes.places import GridPlaces, on_grid, rows_at
from jld.errors import one_of
from jld.losses.cross_entropy import require_cross_entropy
from jld.losses.reduction import Loss
from jld.models.boxes import DeltaBoxes, box_loss, targets_or_places
from jld.models.heads.dense_head import DenseHead
from jld.models.layers import init_normal
from jld.models.targets import Targets
from jld.models.trace import Stage
from jld.ops.conv2d import Conv2d
from jld.ops.nms import nms_picks
from jld.registry import HEADS
from jld.toolchain import jittor as jt
from jld.utils.distributed import mean_over_ranks

nn = jt.nn

# What both losses are divided by: the anchors that were sampled, or as many as would fit.
NORMALIZERS = ("sampled", "fixed")


@dataclass(frozen=True)
class ProposalLimits:
    """Which decoded anchors become proposals.

    Attributes:
        nms_pre: anchors of every level that are looked at, those of highest score; 0: all.
        max_count: R, proposals of an image, the best of all levels.
        nms_threshold: a box goes when its IoU with a better one of its level is above this.
        min_size_px: boxes whose width or height, within the image, is not above this are dropped.
    """

    nms_pre: int
    max_count: int
    nms_threshold: float = 0.7
    min_size_px: float = 0.0


@dataclass(frozen=True)
class Proposals:
    """R boxes of each of N images, best first; some slots may be empty.

    Attributes:
        boxes: [N, R, 4] corners in px within the image, zeros in empty slots.
        scores: [N, R] in [0, 1].
        mask: [N, R] 1 for real ones.
    """

    boxes: jt.Var
    scores: jt.Var
    mask: jt.Var


@HEADS.register
class RPNHead(DenseHead):
    """A convolution on every level, then objectness and box deltas of every anchor.

    Predictions:
        cls_logits: [N, P, 1] objectness, before the sigmoid.
        box_deltas: [N, P, 4] what `box_coder` decodes from the anchor.

    In an assignment, anchors that were not sampled have a label weight of 0.

    Args:
        in_channels: channels of the neck's maps.
        feat_channels: width of the convolution.
        priors: prior generator, for example AnchorGenerator.
        assigner: who is positive, for example MaxIoUAssigner.
        sampler: the anchors that the losses look at, for example RandomSampler.
        box_coder: deltas from and to boxes.
        loss_cls: of objectness, binary cross entropy.
        loss_bbox: on deltas.
        allowed_border: anchors that reach further out of the image, in px, do not take part; below 0: all do.
        normalizer: divisor of both losses: `sampled`, the anchors that were sampled, positives and negatives
            counting at least one each in every image (mmDetection), averaged over ranks, or `fixed`, the
            sampler's number times N (detectron2).
        train_nms_pre, train_max_proposals, test_nms_pre, test_max_proposals, nms_threshold, min_size_px: see
            `ProposalLimits`; the first two hold where targets are given.
    Raises:
        ConfigError: unknown `normalizer`, or a `loss_cls` that is no binary cross entropy.
    Source: arXiv:1506.01497, section 3; mmDetection's RPNHead, whose names of layers are kept.
    """

    num_classes = 1
    class_keys = ()  # an object of any class

    def __init__(  # noqa: PLR0913 (the signature is the schema of a config section)
        self,
        in_channels: int = 256,
        feat_channels: int = 256,
        *,
        priors: PriorGenerator,
        assigner: Assigner,
        sampler: Sampler,
        box_coder: BoxCoder,
        loss_cls: Loss,
        loss_bbox: Loss,
        allowed_border: float = -1.0,
        normalizer: str = "sampled",
        train_nms_pre: int = 2000,
        train_max_proposals: int = 1000,
        test_nms_pre: int = 1000,
        test_max_proposals: int = 1000,
        nms_threshold: float = 0.7,
        min_size_px: float = 0.0,
    ):
        one_of(normalizer, NORMALIZERS, f"RPNHead: unknown normalizer {normalizer!r}")
        require_cross_entropy(loss_cls, "RPNHead.loss_cls", use_sigmoid=True)
        self.priors, self.assigner, self.sampler = priors, assigner, sampler
        self.boxes, self.loss_cls, self.loss_bbox = DeltaBoxes(box_coder), loss_cls, loss_bbox
        self.allowed_border, self.normalizer = allowed_border, normalizer
        self.train_limits = ProposalLimits(train_nms_pre, train_max_proposals, nms_threshold, min_size_px)
        self.test_limits = ProposalLimits(test_nms_pre, test_max_proposals, nms_threshold, min_size_px)
        self.cls_convs, self.reg_convs = nn.Sequential(), nn.Sequential()  # no towers: one shared layer
        self.rpn_conv = Conv2d(in_channels, feat_channels, 3, padding=1)
        init_normal(self.rpn_conv)
        self.feat_channels = feat_channels
        self.rpn_cls = self.last_conv(1, 1)
        self.rpn_reg = self.last_conv(self.box_size, 1)

    def level_maps(self, cls_maps: list[jt.Var], reg_maps: list[jt.Var]) -> dict[str, list[jt.Var]]:
        """See `DenseHead`; without towers both are the neck's maps."""
        maps = [nn.relu(x) for x in self.rpn_conv.levels(cls_maps)]
        return {"cls_logits": self.rpn_cls.levels(maps), self.boxes.key: self.rpn_reg.levels(maps)}

    def assign(self, places: GridPlaces, targets: Targets) -> Assignment:
        """The assignment of the anchors to objects of any class, of which a sample has label weights.

        Raises:
            ValueError: the targets have no seeds to draw from.
        """
        if targets.seeds is None:
            raise ValueError("these targets have no seeds to draw a sample from: use Targets.from_batch.")
        objects = dataclasses.replace(targets, labels=jt.zeros_like(targets.labels))
        valid = places.valid_mask(targets.pad_shapes)
        if self.allowed_border >= 0:
            valid = valid * _within(places, sizes_of(targets.img_shapes, places), self.allowed_border)
        assignment = self.assigner(places, objects, valid, self.num_classes)
        sample = self.sampler(assignment, targets.seeds)
        return dataclasses.replace(assignment, label_weights=sample.chosen.stop_grad())

    def losses(self, stage: Stage) -> dict[str, jt.Var]:
        """{"loss_rpn_cls", "loss_rpn_bbox"}: scalars over the sampled anchors, see `normalizer`."""
        assignment = stage.assigned
        sampled = assignment.label_weights
        positive = sampled * assignment.positive_mask
        counts = positive.sum(1), sampled.sum(1) - positive.sum(1)
        avg: jt.Var | float = float(self.sampler.num * sampled.shape[0])
        if self.normalizer == "sampled":
            avg = mean_over_ranks(sum(jt.maximum(count, 1.0).sum() for count in counts))
        loss_cls = self.loss_cls(
            stage.predictions["cls_logits"],
            assignment.positive_mask.unsqueeze(-1),
            weight=sampled,
            avg_factor=avg,
        )
        loss_bbox = box_loss(
            self.loss_bbox,
            self.boxes,
            stage.predictions[self.boxes.key],
            stage.places,
            targets_or_places(stage.places, assignment),
            frame=None,
            weight=positive,
            avg_factor=avg,
        )
        return {"loss_rpn_cls": loss_cls, "loss_rpn_bbox": loss_bbox}

    def proposals(
        self, stage: Stage, image_shapes: np.ndarray | None, limits: ProposalLimits | None = None
    ) -> Proposals:
        """The best boxes of a stage, thinned on every level; no gradient flows through them.

        Args:
            image_shapes: NumPy [N, 2] height, width in px that boxes are clipped to; None: those of the maps.
            limits: None: the head's own, for training where the stage has an assignment.
        """
        if limits is None:
            limits = self.test_limits if stage.assignment is None else self.train_limits
        places = on_grid(stage.places)
        logits = stage.predictions["cls_logits"].detach()[:, :, 0]
        index = _best_of_levels(logits, places.level_slices, limits.nms_pre)
        logits = rows_at(logits, index)
        order, logits = jt.argsort(logits, dim=1, descending=True)
        index = rows_at(index, order.int32())
        chosen = places.at(index)
        deltas = rows_at(stage.predictions[self.boxes.key].detach(), index)
        boxes = self.boxes.decode(deltas, chosen)
        limit = jt.array(sizes_of(image_shapes, places)[:, [1, 0, 1, 0]][:, None])  # [N or 1, 1, 4]
        boxes = jt.minimum(jt.maximum(boxes, 0.0), limit)
        x1, y1, x2, y2 = split_corners(boxes)
        is_large = (x2 - x1 > limits.min_size_px).logical_and(y2 - y1 > limits.min_size_px)
        groups = jt.ternary(is_large, chosen.levels, -1)
        picks = nms_picks(boxes, groups, limits.nms_threshold, limits.max_count)
        mask = (picks < index.shape[1]).float32()
        return Proposals(
            rows_at(boxes, picks).detach(), rows_at(jt.sigmoid(logits), picks).detach(), mask.detach()
        )


def _best_of_levels(scores: jt.Var, level_slices: Sequence[slice], count: int) -> jt.Var:
    """[N, K] int32 the `count` places of every level with the highest of scores [N, P]; 0: all of them."""
    found = []
    for level in level_slices:
        order, _ = jt.argsort(scores[:, level], dim=1, descending=True)
        found.append((order[:, :count] if count > 0 else order).int32() + level.start)
    return jt.concat(found, dim=1)


def sizes_of(image_shapes: np.ndarray | None, places: GridPlaces) -> np.ndarray:
    """NumPy float32 [N, 2] the shapes, or [1, 2] height and width in px that the finest map covers."""
    if image_shapes is None:
        image_shapes = np.array([places.level_sizes[0]]) * places.level_strides[0]
    return np.asarray(image_shapes, np.float32)


def _within(places: GridPlaces, sizes: np.ndarray, border: float) -> jt.Var:
    """[N, P] 1 where a prior reaches less than `border` px out of an image of (height, width) [N, 2]."""
    x1, y1, x2, y2 = split_corners(places.boxes)
    height, width = (jt.array(sizes[:, axis : axis + 1]) for axis in (0, 1))
    inside = jt.minimum(x1, y1) >= -border
    return inside.logical_and(x2 < width + border).logical_and(y2 < height + border).float32()
