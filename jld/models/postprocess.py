"""From dense scores and boxes to the final detections of every image, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.formats import clip_boxes
from jld.boxes.places import GridPlaces
from jld.ops.suppression import Suppression


@dataclass(frozen=True)
class Postprocess:
    """Selection of detections from dense predictions.

    Attributes:
        score_threshold: (box, class) pairs below or at it are dropped; a box may survive with several
            classes.
        nms_pre: boxes per level and image that are looked at, those of highest class score; 0: all.
        nms: suppression as in `jld.ops.nms`.
        max_per_image: detections per image, best first.
    """

    score_threshold: float
    nms_pre: int
    nms: Suppression
    max_per_image: int

    def __call__(
        self,
        scores: np.ndarray,
        boxes: np.ndarray,
        priors: GridPlaces,
        batch: Mapping[str, Any],
        *,
        quality: np.ndarray | None = None,
    ) -> list[Detections]:
        """Detections of every image.

        Args:
            scores: [N, P, C] in [0, 1].
            boxes: [N, P, 4] corners in px of the network input; [N, P, 5] with rotated boxes.
            priors: for the level of every row.
            batch: `img_shapes` [N, 2] clips, `scale_factors` [N, 4] leads back to the original image,
                `img_ids`.
            quality: [N, P] in [0, 1], a head's centerness. The boxes are ranked and suppressed by score times
                quality, which is also the detection's score; the threshold looks at the score alone.
        Returns:
            per image its boxes in px of the original image, scores falling.
        """
        detections = []
        for image, img_id in enumerate(batch["img_ids"]):
            found = self.select(
                scores[image],
                boxes[image],
                priors,
                batch["img_shapes"][image],
                quality=None if quality is None else quality[image],
            )
            kept_boxes, kept_scores, labels = self.suppress(*found, batch["scale_factors"][image])
            detections.append(self.as_detections(img_id, kept_scores, labels, kept_boxes))
        return detections

    def select(
        self,
        scores: np.ndarray,
        boxes: np.ndarray,
        priors: GridPlaces,
        image_shape: np.ndarray,
        *,
        quality: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Scores [K, C], boxes [K, 4], fitted into the image, and quality [K] of the best `nms_pre` rows of
        every level of one image.
        """
        ranks = scores.max(axis=1) if quality is None else scores.max(axis=1) * quality
        kept = np.concatenate(
            [self._best_of_level(ranks[level], level.start) for level in priors.level_slices]
        )
        fitted = self.fit_into(boxes[kept], image_shape)
        return scores[kept], fitted, None if quality is None else quality[kept]

    def fit_into(self, boxes: np.ndarray, image_shape: np.ndarray) -> np.ndarray:
        """Boxes [K, 4] clipped to an image of (height, width) px."""
        return clip_boxes(boxes, image_shape)

    def as_detections(
        self, img_id: Any, scores: np.ndarray, labels: np.ndarray, boxes: np.ndarray
    ) -> Detections:
        """The boxes [K, 4] as `Detections` hold them."""
        return Detections(img_id, scores, labels, boxes=boxes)

    def scale_back(self, boxes: np.ndarray, scale_factor: np.ndarray) -> np.ndarray:
        """Boxes [K, 4] in px of the original image, given the factors [4] of its resize."""
        return boxes / np.asarray(scale_factor, np.float32)

    def _best_of_level(self, ranks: np.ndarray, start: int) -> np.ndarray:
        if not 0 < self.nms_pre < len(ranks):
            return np.arange(start, start + len(ranks))
        best = np.argpartition(-ranks, self.nms_pre)[: self.nms_pre]
        return np.sort(best) + start

    def suppress(
        self, scores: np.ndarray, boxes: np.ndarray, quality: np.ndarray | None, scale_factor: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Final (boxes, scores, labels) of one image from what `select` gives; boxes may be one per class."""
        rows, labels = np.nonzero(scores > self.score_threshold)
        pairs = boxes[rows] if boxes.ndim == 2 else boxes[rows, labels]
        original = self.scale_back(pairs, scale_factor).astype(np.float32)
        pair_scores = scores[rows, labels] if quality is None else scores[rows, labels] * quality[rows]
        kept = self.nms(original, pair_scores, labels, self.max_per_image)
        return kept[0].astype(np.float32), kept[1].astype(np.float32), kept[2].astype(np.int64)


@dataclass(frozen=True)
class RoIPostprocess(Postprocess):
    """`Postprocess` for RoIs, which may have a box for every class; `nms_pre` plays no part.

    Source: arXiv:1504.08083; mmDetection's BBoxHead, detectron2's fast_rcnn_inference.
    """

    def of_rois(
        self, scores: np.ndarray, boxes: np.ndarray, mask: np.ndarray | None, batch: Mapping[str, Any]
    ) -> list[Detections]:
        """Detections of every image.

        Args:
            scores: [N, R, C] in [0, 1].
            boxes: [N, R, C, 4] corners in px of the network input, or [N, R, 1, 4] for all classes.
            mask: [N, R] 1 for real RoIs; None: all are.
            batch: see `Postprocess`.
        Returns:
            per image its boxes in px of the original image, scores falling.
        """
        boxes = np.broadcast_to(boxes, (*scores.shape, 4))
        detections = []
        for image, img_id in enumerate(batch["img_ids"]):
            real = slice(None) if mask is None else mask[image] > 0
            fitted = self.fit_into(boxes[image][real], batch["img_shapes"][image])
            kept, kept_scores, labels = self.suppress(
                scores[image][real], fitted, None, batch["scale_factors"][image]
            )
            detections.append(self.as_detections(img_id, kept_scores, labels, kept))
        return detections


@dataclass(frozen=True)
class RotatedPostprocess(Postprocess):
    """`Postprocess` for rotated boxes [..., 5]: centre, width, height in px, angle in radians.

    Attributes:
        clamp_centers: centres are moved into the image, sizes and angles stay (mmRotate); otherwise boxes may
            reach beyond it as they are (JDet).
    """

    clamp_centers: bool = True

    def fit_into(self, boxes: np.ndarray, image_shape: np.ndarray) -> np.ndarray:
        """Boxes [K, 5] with their centres on a pixel of an image of (height, width) px."""
        if not self.clamp_centers:
            return boxes
        last = np.asarray(image_shape, np.float32)[::-1] - 1.0  # x, y of the last pixel
        return np.concatenate([np.clip(boxes[:, :2], 0.0, last), boxes[:, 2:]], axis=1)

    def as_detections(
        self, img_id: Any, scores: np.ndarray, labels: np.ndarray, boxes: np.ndarray
    ) -> Detections:
        """The boxes [K, 5] as `Detections` hold them."""
        return Detections(img_id, scores, labels, rboxes=boxes)

    def scale_back(self, boxes: np.ndarray, scale_factor: np.ndarray) -> np.ndarray:
        """Boxes [K, 5] in px of the original image; a resize does not turn boxes."""
        sides = super().scale_back(boxes[:, :4], scale_factor)
        return np.concatenate([sides, boxes[:, 4:]], axis=1)
