"""The PASCAL VOC protocol at one or several IoU thresholds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.overlaps import pairwise_overlaps
from jld.errors import ConfigError
from jld.evaluation.records import Metrics, pair_by_image
from jld.registry import EVALUATORS

EPS = float(np.finfo(np.float32).eps)
# These eleven values, rounding errors included (0.30000000000000004), decide whether a recall of 3/10
# reaches the fourth point; every implementation that published numbers uses them.
RECALLS_07 = np.arange(0, 1.001, 0.1)


@EVALUATORS.register
class VocEvaluator:
    """Average precision of PASCAL VOC, per class and mean, at IoU 0.50:0.05:0.95 unless told otherwise.

    Each detection asks for the one box of its class and image that it overlaps most; the best scored asker
    with an IoU of at least the threshold finds it, the others are errors. Asking for a difficult (or crowd)
    box counts for nothing. Classes without ground truth are left out of the means.

    Args:
        metric: "07" (11 recall points, VOC 2007 and every published VOC row of localization distillation) or
            "area" (area under the precision envelope, VOC 2010 and later).
        thresholds: IoU thresholds in (0, 1]; None: 0.50, 0.55, ..., 0.95.
    Source: the PASCAL VOC 2007 and 2010 challenges; matching and box areas as in mmDetection 2.10.
    Differs: the challenge tools count the last pixel into a box (x2 - x1 + 1); like mmDetection we do not.
    """

    best_metric = "AP"
    supported_sides = (4,)

    def __init__(self, metric: str = "07", thresholds: Sequence[float] | None = None):
        if metric not in AVERAGE_PRECISION:
            raise ConfigError(
                f"VocEvaluator.metric is {metric!r}; known are: {', '.join(AVERAGE_PRECISION)}."
            )
        thresholds = [0.5 + 0.05 * step for step in range(10)] if thresholds is None else list(thresholds)
        if not thresholds or not all(0 < threshold <= 1 for threshold in thresholds):
            raise ConfigError(
                f"VocEvaluator.thresholds are {thresholds}; give IoU thresholds above 0 and up to 1."
            )
        self.metric = metric
        self.thresholds = {metric_name(threshold): round(float(threshold), 6) for threshold in thresholds}
        self.protocol = "VOC07" if metric == "07" else "VOC area"

    def __call__(
        self, detections: Sequence[Detections], ground_truth: Sequence[dict], classes: Sequence[str]
    ) -> Metrics:
        """The scores of all images.

        Args:
            detections: per image, with upright boxes.
            ground_truth: per image `img_id`, `boxes` [G, 4], `labels`, `is_crowd`, `is_difficult` [G].
            classes: C names, in the order of the labels.
        Returns:
            `AP` (mean over the thresholds) and `AP50`, `AP55`, ... one per threshold, as fractions;
            `per_class` has the same and the counts `num_gts` (without ignored boxes) and `num_detections`.
        Raises:
            DataError: see `jld.evaluation.records.pair_by_image`.
        """
        matches = _match_all(pair_by_image(detections, ground_truth, len(classes)))
        per_class = {name: self._score_class(matches, label) for label, name in enumerate(classes)}
        counted = [row for row in per_class.values() if row["num_gts"] > 0]
        means = {
            name: float(np.mean([row[name] for row in counted])) if counted else -1.0
            for name in ("AP", *self.thresholds)
        }
        return {**means, "per_class": per_class, "protocol": self.protocol}

    def _score_class(self, matches: dict[str, np.ndarray], label: int) -> dict[str, float]:
        chosen = np.flatnonzero(matches["labels"] == label)
        # Equal scores keep the order of the images; with them the result would depend on the sort otherwise.
        chosen = chosen[np.argsort(-matches["scores"][chosen], kind="stable")]
        num_gts = int(((matches["gt_labels"] == label) & ~matches["gt_is_ignored"]).sum())
        row = {"AP": -1.0}
        for name, threshold in self.thresholds.items():
            row[name] = -1.0
            if num_gts > 0:
                hits, errors = hits_and_errors(matches, chosen, threshold)
                row[name] = average_precision(*precision_recall(hits, errors, num_gts), self.metric)
        if num_gts > 0:
            row["AP"] = float(np.mean([row[name] for name in self.thresholds]))
        return {**row, "num_gts": num_gts, "num_detections": len(chosen)}


def metric_name(threshold: float) -> str:
    """`AP50` for 0.5, `AP82.5` for 0.825."""
    return f"AP{round(100 * threshold, 4):g}"


def _match_all(records: list[dict]) -> dict[str, np.ndarray]:
    """The favourite ground truth of every detection, which depends neither on thresholds nor on others."""
    best_index, best_iou, offset = [], [], 0
    for record in records:
        num_gts = len(record["gt_labels"])
        # Of boxes that fit equally well an ordinary one is preferred to an ignored one.
        order = np.argsort(record["gt_is_ignored"], kind="stable")
        iou = pairwise_overlaps(record["boxes"], record["gt_boxes"][order].astype(np.float32))
        iou = np.where(record["labels"][:, None] == record["gt_labels"][order], iou, np.float32(-1))
        iou = np.concatenate(
            [iou, np.full((len(iou), 1), -1, np.float32)], axis=1
        )  # so that argmax has a column
        column = iou.argmax(1)
        best_index.append(offset + np.append(order, 0)[column])
        best_iou.append(iou[np.arange(len(iou)), column])
        offset += num_gts
    joined = {
        name: np.concatenate([record[name] for record in records]) if records else np.zeros(0)
        for name in ("labels", "scores", "gt_labels", "gt_is_ignored")
    }
    joined["gt_is_ignored"] = joined["gt_is_ignored"].astype(bool)
    joined["best_index"] = np.concatenate(best_index) if records else np.zeros(0, np.int64)
    joined["best_iou"] = np.concatenate(best_iou) if records else np.zeros(0, np.float32)
    return joined


def hits_and_errors(matches: dict, chosen: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Boolean [K] each, for the detections `chosen` (indices, best score first)."""
    close = matches["best_iou"][chosen] >= threshold
    wanted = matches["best_index"][chosen]
    ignored = np.zeros(len(chosen), bool)
    ignored[close] = matches["gt_is_ignored"][wanted[close]]
    askers = np.flatnonzero(close & ~ignored)
    _, first = np.unique(
        wanted[askers], return_index=True
    )  # the first asker of each box is the best scored one
    hits = np.zeros(len(chosen), bool)
    hits[askers[first]] = True
    return hits, ~hits & ~ignored


def precision_recall(hits: np.ndarray, errors: np.ndarray, num_gts: int) -> tuple[np.ndarray, np.ndarray]:
    """Precision and recall after each detection.

    Args:
        hits, errors: [K] booleans, best score first; a detection that is neither counts for nothing.
        num_gts: how many boxes there were to find, > 0.
    Returns:
        precision [K] and recall [K].
    """
    found, wrong = np.cumsum(hits, dtype=np.float64), np.cumsum(errors, dtype=np.float64)
    return found / np.maximum(found + wrong, EPS), found / num_gts


def average_precision_07(precision: np.ndarray, recall: np.ndarray) -> float:
    """Mean of the best precision at or beyond the recalls 0, 0.1, ..., 1."""
    reached = recall[None, :] >= RECALLS_07[:, None]  # [11, K]
    return float(np.where(reached, precision[None, :], 0.0).max(axis=1, initial=0.0).mean())


def average_precision_area(precision: np.ndarray, recall: np.ndarray) -> float:
    """Area under the precision curve after making it monotone from the right."""
    precision = np.concatenate([[0.0], precision, [0.0]])
    recall = np.concatenate([[0.0], recall, [1.0]])
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * envelope[1:]))


AVERAGE_PRECISION = {"07": average_precision_07, "area": average_precision_area}


def average_precision(precision: np.ndarray, recall: np.ndarray, metric: str) -> float:
    """Average precision of one class.

    Args:
        precision: [K] after each detection, best score first; recall: [K] likewise.
        metric: "07" or "area".
    """
    return AVERAGE_PRECISION[metric](precision, recall)
