"""Where a detector errs, and what another one changed: the numbers behind `tools/analyze.py`.

Everything is of one split, on plain arrays. Errors are TIDE's kinds (arXiv:2008.08115), computed by hotcoco.
Rotated boxes are compared by their own overlaps under COCO's rules, which no benchmark does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.errors import DataError
from jld.evaluation import fast_coco
from jld.evaluation.coco import STATISTICS, THRESHOLDS, mean_defined, summary
from jld.evaluation.records import pair_by_image

ERRORS = {
    "Cls": "right place, wrong class",
    "Loc": "right class, wrong place",
    "Both": "wrong class and place",
    "Dupe": "found twice",
    "Bkg": "nothing there",
    "Miss": "not found at all",
}
"""TIDE's kinds of errors, in words."""
PROTOCOLS = {
    "bbox": "COCO protocol",
    "obb": "COCO protocol on rotated boxes (an extension, comparable with no benchmark)",
}
MATCHED = 0.5
"""IoU at which an object counts as found."""


@dataclass(frozen=True, eq=False)
class Analysis:
    """What is known of the detections in N images of C classes.

    Attributes:
        classes: names.
        records: per image, see `fast_coco.evaluated`.
        protocol: how boxes were compared.
        metrics: `STATISTICS`, fractions; -1 where undefined.
        per_class: {class: {AP, AP50, APs, APm, APl, objects, found, false}}.
        precision: [T, R, C] at the recalls 0, 0.01, ..., 1 and the IoU 0.50, 0.55, ...; -1 without objects.
        tide: {kind of error: (AP50 that its repair would add, how many there are)}.
        confusion: [C + 1, C + 1] true class (rows) by found class at the score threshold; last: background.
        calibration: `bins` [10] of dict(avg_confidence, avg_accuracy, count) and `ece`, see hotcoco.
        threshold: the score from which on a detection counts for what follows.
        is_found: per image [G] whether each object was found; ignored ones are True.
        is_false: per image [K] whether each detection, in the order of its record, is above the threshold and
            matches no object.
        evaluation: hotcoco's, for comparisons.
    """

    classes: tuple[str, ...]
    records: list[dict]
    protocol: str
    metrics: dict[str, float]
    per_class: dict[str, dict[str, float]]
    precision: np.ndarray
    tide: dict[str, tuple[float, int]]
    confusion: np.ndarray
    calibration: dict[str, Any]
    threshold: float
    is_found: list[np.ndarray]
    is_false: list[np.ndarray]
    evaluation: Any

    def counts(self) -> np.ndarray:
        """[N, 3] objects, found objects and false detections of each image, without what is ignored."""
        rows = zip(self.records, self.is_found, self.is_false, strict=True)
        counts = [
            (
                np.count_nonzero(~record["gt_is_ignored"]),
                np.count_nonzero(found & ~record["gt_is_ignored"]),
                np.count_nonzero(false),
            )
            for record, found, false in rows
        ]
        return np.array(counts, np.int64).reshape(-1, 3)

    def to_plain(self) -> dict[str, Any]:
        """What a json file keeps."""
        return {
            "protocol": self.protocol,
            "classes": list(self.classes),
            "threshold": self.threshold,
            "metrics": self.metrics,
            "per_class": self.per_class,
            "tide": {kind: {"AP50_gain": gain, "count": count} for kind, (gain, count) in self.tide.items()},
            "confusion": self.confusion.tolist(),
            "calibration": self.calibration,
            "images": {
                str(record["img_id"]): dict(zip(("objects", "found", "false"), row.tolist(), strict=True))
                for record, row in zip(self.records, self.counts(), strict=True)
            },
        }


def analyse(
    detections: Sequence[Detections],
    ground_truth: Sequence[dict],
    classes: Sequence[str],
    *,
    threshold: float = 0.3,
) -> Analysis:
    """Where the detections of a split err.

    Args:
        detections: per image, upright or rotated; see `CocoEvaluator`.
        ground_truth: per image, what `Dataset.ground_truth` gives.
        classes: names, in the order of the labels.
        threshold: score from which on a detection counts as one.
    Raises:
        ConfigError: hotcoco is not installed.
        DataError: there is no object to find, or detections and ground truth do not fit each other.
    """
    kind, records = records_of(detections, ground_truth, len(classes))
    if not any((~record["gt_is_ignored"]).any() for record in records):
        raise DataError(f"the {len(records)} images of the ground truth hold no object to find.")
    evaluation = fast_coco.evaluated(records, classes, kind)
    tables = evaluation.eval or {}
    precision, recall = tables["precision"], tables["recall"]
    tide = evaluation.tide_errors()
    is_found, is_false = _statuses(records, classes, kind, threshold)
    confusion = evaluation.confusion_matrix(min_score=threshold)["matrix"].astype(np.int64)
    analysis = Analysis(
        classes=tuple(classes),
        records=records,
        protocol=PROTOCOLS[kind],
        metrics=summary(precision, recall),
        per_class={},
        precision=precision[..., 0, -1],
        tide={name: (float(tide["delta_ap"][name]), int(tide["counts"][name])) for name in ERRORS},
        confusion=confusion,
        calibration={key: evaluation.calibration()[key] for key in ("ece", "bins")},
        threshold=threshold,
        is_found=is_found,
        is_false=is_false,
        evaluation=evaluation,
    )
    return replace(analysis, per_class=_per_class(analysis, precision))


def records_of(
    detections: Sequence[Detections], ground_truth: Sequence[dict], num_classes: int
) -> tuple[str, list[dict]]:
    """("bbox" or "obb", records) of the images; rotated ones where the detections are."""
    if not any(found.rboxes is not None for found in detections):
        return "bbox", pair_by_image(detections, ground_truth, num_classes)
    # Checked as upright boxes; the rotated ones stand beside them.
    upright = [
        replace(found, rboxes=None, polys=None, boxes=_around(found.corners())) for found in detections
    ]
    records = pair_by_image(upright, ground_truth, num_classes)
    # An image without detections does not say which form they would have.
    shapes = {found.img_id: found.rboxes for found in detections if found.rboxes is not None}
    for record, truth in zip(records, ground_truth, strict=True):
        if "rboxes" not in truth:
            raise DataError(f"image {record['img_id']!r} has rotated detections and upright ground truth.")
        record["rboxes"] = shapes.get(record["img_id"], np.zeros((0, 5)))
        record["gt_rboxes"] = np.asarray(truth["rboxes"], np.float64).reshape(-1, 5)
    return "obb", records


def _around(corners: np.ndarray) -> np.ndarray:
    points = corners.reshape(-1, 4, 2)
    return np.concatenate([points.min(1), points.max(1)], axis=1)


def _statuses(
    records: list[dict], classes: Sequence[str], kind: str, threshold: float
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(is found, is false) per image, see `Analysis`."""
    above = [record["scores"] >= threshold for record in records]
    names = ("boxes", "rboxes", "scores", "labels")
    kept = [
        record | {name: record[name][keep] for name in names if name in record}
        for record, keep in zip(records, above, strict=True)
    ]
    statuses = fast_coco.evaluated(kept, classes, kind).image_diagnostics(iou_thr=MATCHED)
    # Crowds and what lies in them have no status of their own.
    found = iter(range(1, 1 + sum(len(record["gt_labels"]) for record in records)))
    seen = iter(range(1, 1 + sum(map(np.count_nonzero, above))))
    is_found = [
        np.array([statuses["gt_status"].get(next(found)) != "fn" for _ in record["gt_labels"]], bool)
        for record in records
    ]
    is_false = []
    for keep in above:
        false = np.zeros(len(keep), bool)
        false[keep] = [statuses["dt_status"].get(next(seen)) == "fp" for _ in range(np.count_nonzero(keep))]
        is_false.append(false)
    return is_found, is_false


def _per_class(analysis: Analysis, precision: np.ndarray) -> dict[str, dict[str, float]]:
    """Of each class: AP overall and by size of the object, and what was found at the threshold."""
    labels, ignored, found = (
        np.concatenate([np.zeros(0, kind), *parts])
        for kind, parts in (
            (np.int64, [record["gt_labels"] for record in analysis.records]),
            (bool, [record["gt_is_ignored"] for record in analysis.records]),
            (bool, analysis.is_found),
        )
    )
    false = np.concatenate(
        [
            np.zeros(0, np.int64),
            *(
                record["labels"][is_false]
                for record, is_false in zip(analysis.records, analysis.is_false, strict=True)
            ),
        ]
    )
    table = {}
    for label, name in enumerate(analysis.classes):
        own = (labels == label) & ~ignored
        by_size = precision[:, :, label, :, -1]
        table[name] = {
            "AP": mean_defined(by_size[..., 0]),
            "AP50": mean_defined(by_size[THRESHOLDS == 50][..., 0]),
            **{f"AP{size}": mean_defined(by_size[..., area]) for area, size in enumerate("sml", 1)},
            "objects": int(np.count_nonzero(own)),
            "found": int(np.count_nonzero(own & found)),
            "false": int(np.count_nonzero(false == label)),
        }
    return table


@dataclass(frozen=True, eq=False)
class Change:
    """What the second of two detectors changed on the images of a split.

    Attributes:
        metrics: {name: (before, after, lower, upper)}; fractions, and the interval of the difference over
            images drawn with replacement; NaN where undefined.
        gained, lost: per image [G] objects that only the second, or only the first one found.
        gone, new: per image [K] false detections of the first and of the second one that the other has not:
            no false detection of the same class overlaps them at IoU 0.5.
        recall, false_per_image: (before, after, lower, upper) at the threshold.
        confidence: of the intervals.
    """

    metrics: dict[str, tuple[float, float, float, float]]
    gained: list[np.ndarray]
    lost: list[np.ndarray]
    gone: list[np.ndarray]
    new: list[np.ndarray]
    recall: tuple[float, float, float, float]
    false_per_image: tuple[float, float, float, float]
    confidence: float = 0.95

    def balance(self) -> np.ndarray:
        """[N] errors less (positive) or more in each image: objects gained - lost, false ones gone - new."""
        parts = zip(self.gained, self.lost, self.gone, self.new, strict=True)
        return np.array([gain.sum() - loss.sum() + gone.sum() - new.sum() for gain, loss, gone, new in parts])


def change(first: Analysis, second: Analysis, *, num_samples: int = 200, seed: int = 0) -> Change:
    """What the second detector changed.

    Args:
        first, second: of the same images and classes.
        num_samples: resamplings of the images behind each interval; 0 leaves them out.
        seed: of the resampling.
    Raises:
        DataError: they are of other images or classes.
    """
    _require_same(first, second)
    from hotcoco import compare

    told = compare(first.evaluation, second.evaluation, n_bootstrap=num_samples, seed=seed)
    intervals = told["ci"] or {}
    metrics = {}
    for name in STATISTICS:
        pair = first.metrics[name], second.metrics[name]
        found = intervals.get("AR100" if name == "AR" else name) if min(pair) >= 0 else None
        metrics[name] = (*pair, *((found["lower"], found["upper"]) if found else (np.nan, np.nan)))
    rows = list(zip(first.records, first.is_found, second.is_found, strict=True))
    before, after = first.counts(), second.counts()
    draws = _draws(len(first.records), num_samples, seed)
    return Change(
        metrics=metrics,
        gained=[now & ~then & ~record["gt_is_ignored"] for record, then, now in rows],
        lost=[then & ~now & ~record["gt_is_ignored"] for record, then, now in rows],
        gone=_alone(first, second),
        new=_alone(second, first),
        recall=_interval(before[:, 1], after[:, 1], before[:, 0], draws),
        false_per_image=_interval(before[:, 2], after[:, 2], np.ones(len(before), np.int64), draws),
    )


def _require_same(first: Analysis, second: Analysis) -> None:
    ids = [[record["img_id"] for record in each.records] for each in (first, second)]
    if ids[0] != ids[1] or first.classes != second.classes or first.threshold != second.threshold:
        raise DataError("only runs on the same images, with the same classes and threshold, can be compared.")
    if any(a["gt_labels"].tolist() != b["gt_labels"].tolist() for a, b in zip(first.records, second.records)):
        raise DataError("the two runs were compared with other ground truth.")


def _alone(own: Analysis, other: Analysis) -> list[np.ndarray]:
    """Per image [K] false detections of the one without a counterpart among those of the other."""
    from hotcoco import mask

    alone = []
    for mine, false, theirs, also_false in zip(
        own.records, own.is_false, other.records, other.is_false, strict=True
    ):
        left = false.copy()
        rows, columns = np.flatnonzero(false), np.flatnonzero(also_false)
        if len(rows) and len(columns):
            overlaps = np.asarray(
                mask.iou(_xywh(mine["boxes"][rows]), _xywh(theirs["boxes"][columns]), [0] * len(columns))
            )
            same = mine["labels"][rows][:, None] == theirs["labels"][columns]
            left[rows[((overlaps >= MATCHED) & same).any(1)]] = False
        alone.append(left)
    return alone


def _xywh(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).astype(np.float64)


def _draws(num_images: int, num_samples: int, seed: int) -> np.ndarray:
    """[S, N] how often each image is in each resampling."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(num_images, np.full(num_images, 1 / num_images), num_samples)


def _interval(
    before: np.ndarray, after: np.ndarray, weights: np.ndarray, draws: np.ndarray
) -> tuple[float, float, float, float]:
    """(ratio before, ratio after, 95 % interval of their difference) of sums over images [N]."""
    total = weights.sum()
    if not len(draws):
        return before.sum() / total, after.sum() / total, np.nan, np.nan
    differences = (draws @ (after - before)) / np.maximum(draws @ weights, 1)
    return (before.sum() / total, after.sum() / total, *np.quantile(differences, (0.025, 0.975)).tolist())
