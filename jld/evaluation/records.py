"""Pairs the detections of an evaluation with the ground truth of the same images, and checks both."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from jld.boxes.detections import Detections
from jld.errors import DataError

Metrics = dict[str, Any]
MASK_PREFIX = "segm_"
"""In front of the names of scores of masks."""
LOWER_IS_BETTER = ("mMR",)
"""Names of scores that are errors: of all others the highest is the best."""


class Evaluator(Protocol):
    """Scores detections; it may say its `best_metric`, and in `supported_sides` which boxes it takes."""

    def __call__(
        self, detections: Sequence[Detections], ground_truth: Sequence[dict], classes: Sequence[str], /
    ) -> Metrics:
        """The scores of all images."""


def pair_by_image(
    detections: Sequence[Detections], ground_truth: Sequence[dict], num_classes: int
) -> list[dict]:
    """One record per ground-truth image, in the order of the ground truth.

    Args:
        detections: per image, with upright boxes. Images that are not in the list count as images without
            detections.
        ground_truth: per image `img_id`, `boxes` [G, 4] xyxy px, `labels` [G], `is_crowd` [G],
            `is_difficult` [G], `areas` [G] px squared.
        num_classes: labels must lie in 0..num_classes-1.
    Returns:
        dicts with `img_id`, `boxes`, `scores`, `labels` of the detections and `gt_boxes`, `gt_labels`,
        `gt_areas`, `gt_is_ignored` (crowd or difficult: neither a miss nor, when found, an error).
    Raises:
        DataError: an image occurs twice, detections of an image without ground-truth record, boxes that are
            not upright, arrays of different lengths, a label out of range, or a score that is not a number.
    """
    by_image = _index(detections, "detections")
    known = _index(ground_truth, "ground truth")
    for img_id in by_image:
        if img_id not in known:
            raise DataError(
                f"the detections hold image {img_id!r}, which is not among the {len(known)} images of the "
                "ground truth; evaluate on the split that was detected."
            )
    return [_record(entry, by_image.get(img_id), num_classes) for img_id, entry in known.items()]


def add_masks(records: list[dict], detections: Sequence[Detections], ground_truth: Sequence[dict]) -> None:
    """Adds `masks`, `gt_masks` and `size` (height, width) to the records of `pair_by_image`.

    Args:
        records: changed in place.
        detections: per image, with masks.
        ground_truth: per image, in the order of the records, with `masks`, `height` and `width`.
    Raises:
        DataError: one of them has no masks, another number of them, or masks of another size.
    """
    by_image = _index(detections, "detections")
    for record, truth in zip(records, ground_truth, strict=True):
        img_id, found = record["img_id"], by_image.get(record["img_id"])
        if truth.get("masks") is None:
            raise DataError(
                f"image {img_id!r} has no masks in its ground truth: set with_masks=True in the dataset, or "
                "with_masks=False in the evaluator."
            )
        if found is not None and found.masks is None and len(found):
            raise DataError(
                f"image {img_id!r} has detections without masks: the detector finds boxes alone; set "
                "with_masks=False in the evaluator."
            )
        record["size"] = (truth["height"], truth["width"])
        record["gt_masks"] = list(truth["masks"])
        record["masks"] = [] if found is None else list(found.masks or [])
        if len(record["gt_masks"]) != len(record["gt_boxes"]):
            counts = f"{len(record['gt_masks'])} masks and {len(record['gt_boxes'])} boxes"
            raise DataError(f"image {img_id!r} has {counts} in its ground truth.")
        for mask in (*record["masks"], *record["gt_masks"]):
            if tuple(mask["size"]) != record["size"]:
                raise DataError(
                    f"image {img_id!r} has the size {list(record['size'])} (height, width), and one of its "
                    f"masks {list(mask['size'])}."
                )


def _index(entries: Sequence[Any], what: str) -> dict[Any, Any]:
    indexed = {}
    for entry in entries:
        if entry["img_id"] in indexed:
            raise DataError(f"the {what} hold image {entry['img_id']!r} twice.")
        indexed[entry["img_id"]] = entry
    return indexed


def _record(truth: dict, found: Detections | None, num_classes: int) -> dict:
    img_id = truth["img_id"]
    none = np.zeros(0)
    found = Detections(img_id, none, none, boxes=none) if found is None else found
    if found.boxes is None:
        raise DataError(
            f"image {img_id!r} has detections as {found.form}, and this evaluator compares upright boxes: "
            "use DotaEvaluator."
        )
    record = {
        "img_id": img_id,
        "boxes": np.asarray(found.boxes, np.float32),
        "scores": found.scores,
        "labels": found.labels,
        "gt_boxes": np.asarray(truth["boxes"], np.float64).reshape(-1, 4),
        "gt_labels": np.asarray(truth["labels"], np.int64).reshape(-1),
        "gt_is_ignored": _flags(truth["is_crowd"]) | _flags(truth["is_difficult"]),
        "gt_areas": np.asarray(truth["areas"], np.float64).reshape(-1),
    }
    _check(record, num_classes)
    return record


def _flags(flags: Any) -> np.ndarray:
    return np.asarray(flags, bool).reshape(-1)


def _check(record: dict, num_classes: int) -> None:
    img_id = record["img_id"]
    lengths = {name: len(record[name]) for name in ("gt_boxes", "gt_labels", "gt_is_ignored", "gt_areas")}
    if len(set(lengths.values())) > 1:
        raise DataError(f"image {img_id!r} has arrays of different lengths: {lengths}.")
    for name in ("labels", "gt_labels"):
        wrong = record[name][(record[name] < 0) | (record[name] >= num_classes)]
        if len(wrong):
            raise DataError(
                f"image {img_id!r} has {name} {wrong[0]}, outside 0..{num_classes - 1}: "
                "the model and the dataset have different classes."
            )
    if not (np.isfinite(record["scores"]).all() and np.isfinite(record["boxes"]).all()):
        raise DataError(
            f"image {img_id!r} has detections that are not finite numbers: did the training diverge?"
        )
