"""The DOTA protocol for rotated boxes, and the released evaluators it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.formats import box_areas
from jld.boxes.rotated import (
    candidate_pairs,
    matched_poly_iou,
    poly_areas,
    polys_to_xyxy,
    shapes_to_polys,
    shared_area_bounds,
)
from jld.errors import ConfigError, one_of
from jld.evaluation.records import Metrics, pair_by_image
from jld.evaluation.voc import (
    AVERAGE_PRECISION,
    average_precision,
    hits_and_errors,
    metric_name,
    precision_recall,
)
from jld.registry import EVALUATORS

THRESHOLDS = tuple(0.5 + 0.05 * step for step in range(10))
METRIC_TEXTS = {"07": "11 points", "area": "area"}


@dataclass(frozen=True)
class Rules:
    """What tells the protocols apart.

    Attributes:
        title: for the result.
        metric: the average precision it publishes, "07" or "area".
        is_strict: an overlap must exceed the threshold; otherwise reaching it is enough.
        ignores_any_class: difficult boxes (flag 1) swallow detections of every class; cut ones (flag 2) are
            unknown, and images without any ordinary box are not looked at.
        counts_absent_classes: classes without ground truth enter the means as 0 instead of being left out.
        accumulates: every threshold's mean carries 1 / (number of classes) of the one printed before it.
        remark: its defects, for the result.
    """

    title: str
    metric: str = "07"
    is_strict: bool = True
    ignores_any_class: bool = False
    counts_absent_classes: bool = False
    accumulates: bool = False
    remark: str = ""


PROTOCOLS = {
    "jld": Rules("DOTA"),
    "mmrotate": Rules("MMRotate", is_strict=False),
    "jdet": Rules(
        "JDet",
        metric="area",
        ignores_any_class=True,
        counts_absent_classes=True,
        remark="difficult boxes are ignored for every class, cut boxes are unknown, "
        "classes without ground truth count 0",
    ),
    "rotated_ld": Rules(
        "Rotated-LD",
        counts_absent_classes=True,
        accumulates=True,
        remark="every threshold above the first adds a share of the one before, as its script does; "
        "AP50 is right",
    ),
}


@EVALUATORS.register
class DotaEvaluator:
    """Average precision of rotated boxes at IoU 0.50:0.05:0.95, per class and mean, as the DOTA devkit
    counts.

    Each detection asks for the one object of its class and image that it overlaps most; the best scored asker
    with an IoU above the threshold finds it, the others are errors. Asking for a difficult object counts
    for nothing. Classes without ground truth are left out of the means. Whole images or
    patches: whatever the records hold; the server scores whole images, so merge patches first
        (`jld.data.dota.merge_patches`).

    Args:
        protocol: "jld" as above; "mmrotate" reaches the threshold instead of exceeding it; "jdet" and
            "rotated_ld" repeat the evaluators behind those projects' tables **with their defects**, which the
            result names.
        metric: "07" (11 recall points) or "area"; None is what the protocol publishes ("area" for "jdet").
        thresholds: IoU thresholds in (0, 1]; None: 0.50, 0.55, ..., 0.95.
    Source: the DOTA development kit (Task 1); polygons overlap exactly, in float64.
    Differs: JDet evaluates at 0.5 only and fails on detections in images without ground truth.
    """

    best_metric = "AP"
    supported_sides = (4, 5)

    def __init__(
        self, protocol: str = "jld", metric: str | None = None, thresholds: Sequence[float] | None = None
    ):
        one_of(protocol, PROTOCOLS, f"DotaEvaluator.protocol is {protocol!r}")
        self.rules = PROTOCOLS[protocol]
        self.metric = self.rules.metric if metric is None else metric
        if self.metric not in AVERAGE_PRECISION:
            raise ConfigError(
                f"DotaEvaluator.metric is {metric!r}; known are: {', '.join(AVERAGE_PRECISION)}."
            )
        thresholds = THRESHOLDS if thresholds is None else tuple(thresholds)
        if not thresholds or not all(0 < threshold <= 1 for threshold in thresholds):
            raise ConfigError(
                f"DotaEvaluator.thresholds are {thresholds}; give IoU thresholds above 0 and up to 1."
            )
        self.thresholds = {metric_name(threshold): round(float(threshold), 6) for threshold in thresholds}
        details = [METRIC_TEXTS[self.metric], *([self.rules.remark] if self.rules.remark else [])]
        self.protocol = f"{self.rules.title} ({'; '.join(details)})"

    def __call__(
        self, detections: Sequence[Detections], ground_truth: Sequence[dict], classes: Sequence[str]
    ) -> Metrics:
        """The scores of all images.

        Args:
            detections: per image, in any form.
            ground_truth: per image `img_id`, `polys` [G, 8] (without them `boxes` [G, 4]), `labels`,
                `is_crowd`, `is_difficult` [G] and, for "jdet", the flags `difficult` [G] where cut objects
                are marked.
            classes: C names, in the order of the labels.
        Returns:
            `AP` (mean over the thresholds) and `AP50`, `AP55`, ..., `AP95`, as fractions; `per_class` has the
            same and the counts `num_gts` (without ignored boxes) and `num_detections`; `protocol` names the
            defects.
        Raises:
            DataError: see `jld.evaluation.records.pair_by_image`.
        """
        least_iou = min(self.thresholds.values())
        matches = match_rotated(detections, ground_truth, len(classes), self.rules, least_iou=least_iou)
        per_class = {name: self._score_class(matches, label) for label, name in enumerate(classes)}
        means = self._means(list(per_class.values()))
        average = float(np.mean(list(means.values()))) if min(means.values()) >= 0 else -1.0
        return {"AP": average, **means, "per_class": per_class, "protocol": self.protocol}

    def _score_class(self, matches: dict[str, np.ndarray], label: int) -> dict[str, float]:
        chosen = np.flatnonzero(matches["labels"] == label)
        # Equal scores keep the order of the images; with them the result would depend on the sort otherwise.
        chosen = chosen[np.argsort(-matches["scores"][chosen], kind="stable")]
        num_gts = int(((matches["gt_labels"] == label) & ~matches["gt_is_ignored"]).sum())
        row = {"AP": -1.0, **dict.fromkeys(self.thresholds, -1.0)}
        if num_gts > 0:
            for name, least_iou in zip(self.thresholds, self.least_ious(), strict=True):
                curve = precision_recall(*hits_and_errors(matches, chosen, least_iou), num_gts)
                row[name] = average_precision(*curve, self.metric)
            row["AP"] = float(np.mean([row[name] for name in self.thresholds]))
        return {**row, "num_gts": num_gts, "num_detections": len(chosen)}

    def least_ious(self) -> list[float]:
        """The least IoU that counts at each threshold."""
        return [
            float(np.nextafter(value, 2)) if self.rules.is_strict else value
            for value in self.thresholds.values()
        ]

    def _means(self, rows: list[dict[str, float]]) -> dict[str, float]:
        """The mean over the classes at each threshold; -1 where there is none."""
        means, printed = {}, 0.0
        for name in self.thresholds:
            scores = [
                max(row[name], 0.0) for row in rows if row["num_gts"] > 0 or self.rules.counts_absent_classes
            ]
            total = sum(scores) + (printed if self.rules.accumulates else 0.0)
            means[name] = printed = total / len(scores) if scores else -1.0
        return means


def match_rotated(
    detections: Sequence[Detections],
    ground_truth: Sequence[dict],
    num_classes: int,
    rules: Rules = PROTOCOLS["jld"],
    *,
    least_iou: float = 0.0,
) -> dict[str, np.ndarray]:
    """The favourite ground truth of every detection; it does not depend on the threshold, nor on other
    detections.

    Args:
        detections, ground_truth: see `DotaEvaluator`.
        num_classes: C.
        rules: of the protocol.
        least_iou: smaller overlaps are not needed; most of them are then not computed.
    Returns:
        images (its number), labels, scores, best_index (row of the favourite), best_iou [K] of all
        detections, image by image; gt_images, gt_labels, gt_is_ignored of all ground-truth rows. Detections
        without such an overlap have an IoU below `least_iou`, or -1.
    Raises:
        DataError: see `jld.evaluation.records.pair_by_image`.
    """
    detected, truth = _collect(detections, ground_truth, num_classes)
    if rules.ignores_any_class:
        detected, truth = _ignore_for_every_class(detected, truth, num_classes)
    images, polys, labels, scores = detected
    gt_images, gt_polys, gt_labels, gt_is_ignored = truth[:4]
    # Of objects that fit equally well an ordinary one is preferred to an ignored one.
    preferred = np.argsort(gt_is_ignored, kind="stable")
    gt_groups = (gt_images * num_classes + gt_labels)[preferred]
    rows, columns = candidate_pairs(polys, gt_polys[preferred], images * num_classes + labels, gt_groups)
    gt_polys = gt_polys[preferred]
    areas, gt_areas = poly_areas(polys)[rows], poly_areas(gt_polys)[columns]
    most = shared_area_bounds(polys[rows], gt_polys[columns], areas, gt_areas)
    # The margin is for rounding: a pair that just reaches the threshold stays.
    possible = most >= (least_iou - 1e-9) * (areas + gt_areas - most)
    rows, columns = rows[possible], columns[possible]
    overlaps = matched_poly_iou(polys[rows], gt_polys[columns])
    best_index, best_iou = np.zeros(len(labels), np.int64), np.full(len(labels), -1.0)
    # The last writer of a row wins: its greatest overlap, and of equal ones the first column.
    order = np.lexsort((-columns, overlaps, rows))
    best_index[rows[order]], best_iou[rows[order]] = preferred[columns[order]], overlaps[order]
    return {
        "images": images,
        "labels": labels,
        "scores": scores,
        "best_index": best_index,
        "best_iou": best_iou,
        "gt_images": gt_images,
        "gt_labels": gt_labels,
        "gt_is_ignored": gt_is_ignored,
    }


def _collect(
    detections: Sequence[Detections], ground_truth: Sequence[dict], num_classes: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """(images, polys, labels, scores) of all detections; (images, polys, labels, is_ignored, flags) of all
    objects.
    """
    corners = {found.img_id: found.corners() for found in detections}
    # Upright boxes around everything, for the checks that all evaluators share.
    upright = [
        Detections(found.img_id, found.scores, found.labels, boxes=polys_to_xyxy(found.corners()))
        for found in detections
    ]
    records = pair_by_image(upright, [_with_boxes(entry) for entry in ground_truth], num_classes)
    detected, truth = [], []
    for record, entry in zip(records, ground_truth, strict=True):
        polys = corners.get(record["img_id"], np.zeros((0, 8)))
        detected.append((polys, record["labels"], record["scores"]))
        flags = np.asarray(entry.get("difficult", record["gt_is_ignored"]), np.int64).reshape(-1)
        truth.append((_truth_polys(entry), record["gt_labels"], record["gt_is_ignored"], flags))
    nothing = np.zeros(0, np.int64)
    return (
        _flatten(detected or [(np.zeros((0, 8)), nothing, np.zeros(0))]),
        _flatten(truth or [(np.zeros((0, 8)), nothing, nothing.astype(bool), nothing)]),
    )


def _truth_polys(entry: dict) -> np.ndarray:
    return shapes_to_polys(entry["polys"] if "polys" in entry else entry["boxes"])


def _with_boxes(entry: dict) -> dict:
    boxes = polys_to_xyxy(_truth_polys(entry))
    return {"areas": box_areas(boxes), **entry, "boxes": boxes}


def _flatten(parts: Sequence[tuple[np.ndarray, ...]]) -> list[np.ndarray]:
    """The number of the image of every row [T], then the columns of all images, joined."""
    images = np.repeat(np.arange(len(parts)), [len(part[0]) for part in parts])
    return [images, *(np.concatenate(column) for column in zip(*parts, strict=True))]


def _ignore_for_every_class(
    detected: list[np.ndarray], truth: list[np.ndarray], num_classes: int
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """JDet's view: one copy of each ignored object per class, no cut objects, no images without ordinary
    ones.
    """
    images, _, _, is_ignored, flags = truth
    ordinary, ignored = np.flatnonzero(~is_ignored), np.flatnonzero(is_ignored & (flags == 1))
    rows = np.concatenate([ordinary, np.repeat(ignored, num_classes)])
    copies = [column[rows] for column in truth]
    copies[2][len(ordinary) :] = np.tile(np.arange(num_classes), len(ignored))
    is_seen = np.isin(detected[0], images[ordinary])
    return [column[is_seen] for column in detected], copies
