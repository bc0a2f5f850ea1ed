"""The COCO protocol. The only file of jld that knows pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jld.boxes.detections import Detections
from jld.errors import ConfigError
from jld.evaluation.records import Metrics, pair_by_image
from jld.registry import EVALUATORS

# Order of the twelve numbers that COCOeval.summarize leaves behind.
STATISTICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR", "ARs", "ARm", "ARl")


@EVALUATORS.register
class CocoEvaluator:
    """Average precision of the COCO challenge: mean over IoU 0.50:0.05:0.95, 101 recall points.

    Boxes marked crowd or difficult are neither missed nor wrongly found; a detection fits such a box by the
    share of its own area inside it. Object sizes come from the annotation's area, with limits 32^2 and 96^2.

    Args:
        max_detections: only so many best scored detections of an image and class count; it is the limit of
            `AR` too. `AR1` and `AR10` stand for one and ten detections per image and class.
    Source: the COCO detection challenge (cocodataset.org); computed by pycocotools.
    """

    protocol = "COCO"
    best_metric = "AP"
    supported_sides = (4,)

    def __init__(self, max_detections: int = 100):
        if max_detections <= 10:
            raise ConfigError(f"CocoEvaluator.max_detections is {max_detections}; it must be above 10.")
        self.max_detections = max_detections

    def __call__(
        self, detections: Sequence[Detections], ground_truth: Sequence[dict], classes: Sequence[str]
    ) -> Metrics:
        """The scores of all images.

        Args:
            detections: per image, with upright boxes.
            ground_truth: per image `img_id`, `boxes` [G, 4], `labels`, `is_crowd`, `is_difficult` and
                `areas` [G].
            classes: C names, in the order of the labels.
        Returns:
            fractions for each of `STATISTICS` and, under `per_class`, AP, AP50 and AP75 of each class.
        Raises:
            DataError: see `jld.evaluation.records.pair_by_image`.
        """
        records = pair_by_image(detections, ground_truth, len(classes))
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress with print
            evaluation = COCOeval(_truth(records, len(classes)), _found(records, len(classes)), "bbox")
            evaluation.params.maxDets = [1, 10, self.max_detections]
            evaluation.evaluate()
            evaluation.accumulate()
            statistics = _summary(evaluation)
        return {**statistics, "per_class": _per_class(evaluation, classes), "protocol": self.protocol}


def _database(annotations: list[dict], num_images: int, num_classes: int) -> COCO:
    database = COCO()
    database.dataset = {
        "images": [{"id": index} for index in range(1, num_images + 1)],
        "categories": [{"id": label} for label in range(num_classes)],
        "annotations": annotations,
    }
    database.createIndex()
    return database


def _annotation(image_index: int, label: int, box: np.ndarray, **values: float) -> dict:
    x1, y1, x2, y2 = box.tolist()
    return {"image_id": image_index, "category_id": int(label), "bbox": [x1, y1, x2 - x1, y2 - y1], **values}


def _truth(records: list[dict], num_classes: int) -> COCO:
    # Identifiers start at 1: the matcher of pycocotools takes identifier 0 for "no match".
    annotations = [
        _annotation(index, label, box, area=float(area), iscrowd=int(is_ignored))
        for index, record in enumerate(records, 1)
        for label, box, area, is_ignored in zip(
            record["gt_labels"], record["gt_boxes"], record["gt_areas"], record["gt_is_ignored"], strict=True
        )
    ]
    for identifier, annotation in enumerate(annotations, 1):
        annotation["id"] = identifier
    return _database(annotations, len(records), num_classes)


def _found(records: list[dict], num_classes: int) -> COCO:
    annotations: list[dict[str, Any]] = []
    for index, record in enumerate(records, 1):
        for label, box, score in zip(record["labels"], record["boxes"], record["scores"], strict=True):
            annotation = _annotation(index, label, box, score=float(score), iscrowd=0)
            annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
            annotation["id"] = len(annotations) + 1
            annotations.append(annotation)
    return _database(annotations, len(records), num_classes)


def _mean(values: np.ndarray) -> float:
    # pycocotools marks what has no ground truth with -1.
    values = values[values > -1]
    return float(values.mean()) if values.size else -1.0


def _summary(evaluation: COCOeval) -> dict[str, float]:
    """The twelve statistics; unlike COCOeval.summarize it does not insist on a limit of 100 detections."""
    precision, recall = (
        evaluation.eval["precision"],
        evaluation.eval["recall"],
    )  # [T, R, C, A, M], [T, C, A, M]
    thresholds = evaluation.params.iouThrs
    values = [_mean(precision[..., 0, -1])]
    values += [_mean(precision[np.isclose(thresholds, iou)][..., 0, -1]) for iou in (0.5, 0.75)]
    values += [_mean(precision[..., area, -1]) for area in (1, 2, 3)]
    values += [_mean(recall[..., 0, limit]) for limit in (0, 1, 2)]
    values += [_mean(recall[..., area, -1]) for area in (1, 2, 3)]
    return dict(zip(STATISTICS, values, strict=True))


def _per_class(evaluation: COCOeval, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    precision = evaluation.eval["precision"][..., 0, -1]  # [T, R, C]
    thresholds = evaluation.params.iouThrs
    rows = {"AP": precision}
    rows |= {f"AP{round(100 * iou)}": precision[np.isclose(thresholds, iou)] for iou in (0.5, 0.75)}
    return {
        name: {key: _mean(values[..., label]) for key, values in rows.items()}
        for label, name in enumerate(classes)
    }
