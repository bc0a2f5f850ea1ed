"""From dense scores and boxes to the final detections of every image, on NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.formats import clip_boxes
from jld.boxes.places import GridPlaces
from jld.errors import one_of
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

    def joint_score(self, scores: np.ndarray, quality: np.ndarray) -> np.ndarray:
        """[K] what a head with a quality ranks its boxes by."""
        return scores * quality

    def suppress(
        self, scores: np.ndarray, boxes: np.ndarray, quality: np.ndarray | None, scale_factor: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Final (boxes, scores, labels) of one image from what `select` gives; boxes may be one per class."""
        rows, labels = np.nonzero(scores > self.score_threshold)
        pairs = boxes[rows] if boxes.ndim == 2 else boxes[rows, labels]
        original = self.scale_back(pairs, scale_factor).astype(np.float32)
        pair_scores = scores[rows, labels]
        if quality is not None:
            pair_scores = self.joint_score(pair_scores, quality[rows])
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
class PairPostprocess(Postprocess):
    """`Postprocess` of detectron2: the `nms_pre` best (box, class) pairs of a level, clipped at the very end.

    Boxes are suppressed as far as they reach beyond the image, then clipped to the original image and dropped
    where nothing is left. With a quality the score is the root of score times quality, but the pairs of a
    level are chosen by the class score alone.

    Attributes:
        cap_at_cells: not more pairs of a level than it has priors.
    Source: detectron2 0.3, RetinaNet; cvpods, FCOS.
    """

    cap_at_cells: bool = False

    def __call__(
        self,
        scores: np.ndarray,
        boxes: np.ndarray,
        priors: GridPlaces,
        batch: Mapping[str, Any],
        *,
        quality: np.ndarray | None = None,
    ) -> list[Detections]:
        """See `Postprocess`."""
        found = super().__call__(scores, boxes, priors, batch, quality=quality)
        scales = np.asarray(batch["scale_factors"], np.float32)[:, [1, 0]]
        sizes = np.round(np.asarray(batch["img_shapes"], np.float32) / scales)  # [N, 2] of the originals
        return [self.inside(one, size) for one, size in zip(found, sizes, strict=True)]

    def select(
        self,
        scores: np.ndarray,
        boxes: np.ndarray,
        priors: GridPlaces,
        image_shape: np.ndarray,
        *,
        quality: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Scores [K, C], 0 for pairs not among the best of their level; boxes and quality of the K rows."""
        chosen = np.zeros_like(scores)
        for level in priors.level_slices:
            flat = scores[level].ravel()
            limit = self.nms_pre or flat.size
            limit = min(limit, len(scores[level])) if self.cap_at_cells else limit
            best = np.argpartition(-flat, limit)[:limit] if limit < flat.size else np.arange(flat.size)
            chosen[level].reshape(-1)[best] = flat[best]
        rows = np.flatnonzero(chosen.any(axis=1))
        return chosen[rows], boxes[rows], None if quality is None else quality[rows]

    def joint_score(self, scores: np.ndarray, quality: np.ndarray) -> np.ndarray:
        """[K] root of score times quality."""
        return np.sqrt(scores * quality)

    def inside(self, found: Detections, size: np.ndarray) -> Detections:
        """Detections clipped to an image of (height, width) px, without those of which nothing is left."""
        boxes = clip_boxes(found["boxes"], size)
        kept = (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        return self.as_detections(found.img_id, found.scores[kept], found.labels[kept], boxes[kept])


CANDIDATES = ("priors", "pairs", "pairs_per_cell")


def make_postprocess(
    candidates: str, score_threshold: float, nms_pre: int, nms: Suppression, max_per_image: int
) -> Postprocess:
    """The selection that a head's `candidates` names.

    Args:
        candidates: what `nms_pre` counts on every level: `priors` by their best class (mmDetection), `pairs`
            of box and class (detectron2), `pairs_per_cell`, the same but at most one per cell (cvpods).
    Raises:
        ConfigError: unknown candidates.
    """
    settings = score_threshold, nms_pre, nms, max_per_image
    one_of(candidates, CANDIDATES, f"candidates {candidates!r}")
    if candidates == "priors":
        return Postprocess(*settings)
    return PairPostprocess(*settings, candidates == "pairs_per_cell")


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
