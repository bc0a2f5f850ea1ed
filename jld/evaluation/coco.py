"""The COCO protocol, for boxes and for masks. The only file of jld that knows pycocotools' evaluation."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jld.boxes.detections import Detections
from jld.boxes.masks import mask_areas
from jld.errors import ConfigError
from jld.evaluation.records import MASK_PREFIX, Metrics, add_masks, pair_by_image
from jld.registry import EVALUATORS

# Order of the twelve numbers that COCOeval.summarize leaves behind.
STATISTICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR", "ARs", "ARm", "ARl")


@EVALUATORS.register
class CocoEvaluator:
    """Average precision of the COCO challenge: mean over IoU 0.50:0.05:0.95, 101 recall points.

    Boxes marked crowd or difficult are neither missed nor wrongly found; a detection fits such a box by the
    share of its own area inside it. Object sizes come from the annotation's area, with limits 32^2 and 96^2.
    Masks are scored as boxes are, by their own overlaps; a detection's size is then the area of its mask, and
    objects whose mask is empty count as crowds.

    Args:
        max_detections: only so many best scored detections of an image and class count; it is the limit of
            `AR` too. `AR1` and `AR10` stand for one and ten detections per image and class.
        with_masks: also score the masks, as `segm_AP`, `segm_AP50`, ...
    Source: the COCO detection challenge (cocodataset.org); computed by pycocotools.
    """

    protocol = "COCO"
    best_metric = "AP"
    supported_sides = (4,)

    def __init__(self, max_detections: int = 100, with_masks: bool = False):
        if max_detections <= 10:
            raise ConfigError(f"CocoEvaluator.max_detections is {max_detections}; it must be above 10.")
        self.max_detections = max_detections
        self.with_masks = with_masks

    def __call__(
        self, detections: Sequence[Detections], ground_truth: Sequence[dict], classes: Sequence[str]
    ) -> Metrics:
        """The scores of all images.

        Args:
            detections: per image, with upright boxes.
            ground_truth: per image `img_id`, `boxes` [G, 4], `labels`, `is_crowd`, `is_difficult` and
                `areas` [G]; to score masks also `height`, `width` and `masks`, G run lengths.
            classes: C names, in the order of the labels.
        Returns:
            fractions for each of `STATISTICS` and, under `per_class`, AP, AP50 and AP75 of each class; those
            of the masks with `MASK_PREFIX` in front.
        Raises:
            DataError: see `jld.evaluation.records.pair_by_image` and `add_masks`.
        """
        records = pair_by_image(detections, ground_truth, len(classes))
        if self.with_masks:
            add_masks(records, detections, ground_truth)
        statistics, per_class = self._scores(records, classes, "bbox")
        if self.with_masks:
            more, per_class_more = self._scores(records, classes, "segm")
            statistics |= _prefixed(more)
            per_class = {name: row | _prefixed(per_class_more[name]) for name, row in per_class.items()}
        return {**statistics, "per_class": per_class, "protocol": self.protocol}

    def _scores(
        self, records: list[dict], classes: Sequence[str], kind: str
    ) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """(statistics, per class) of boxes ("bbox") or masks ("segm")."""
        with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress with print
            truth, found = (make(records, len(classes), kind) for make in (_truth, _found))
            evaluation = COCOeval(truth, found, kind)
            evaluation.params.maxDets = [1, 10, self.max_detections]
            evaluation.evaluate()
            evaluation.accumulate()
        return _summary(evaluation), _per_class(evaluation, classes)


def _prefixed(scores: dict[str, float]) -> dict[str, float]:
    return {f"{MASK_PREFIX}{name}": value for name, value in scores.items()}


def _database(annotations: list[dict], records: list[dict], num_classes: int) -> COCO:
    database = COCO()
    sizes = [record.get("size", (0, 0)) for record in records]
    database.dataset = {
        "images": [{"id": index, "height": size[0], "width": size[1]} for index, size in enumerate(sizes, 1)],
        "categories": [{"id": label} for label in range(num_classes)],
        "annotations": annotations,
    }
    database.createIndex()
    return database


def _annotation(image_index: int, label: int, box: np.ndarray, **values: Any) -> dict:
    x1, y1, x2, y2 = box.tolist()
    return {"image_id": image_index, "category_id": int(label), "bbox": [x1, y1, x2 - x1, y2 - y1], **values}


def _truth(records: list[dict], num_classes: int, kind: str) -> COCO:
    # Identifiers start at 1: the matcher of pycocotools takes identifier 0 for "no match".
    columns = ("gt_labels", "gt_boxes", "gt_areas", "gt_is_ignored")
    annotations = [
        _annotation(index, label, box, area=float(area), iscrowd=int(is_ignored))
        for index, record in enumerate(records, 1)
        for label, box, area, is_ignored in zip(*(record[name] for name in columns), strict=True)
    ]
    if kind == "segm":
        masks = [mask for record in records for mask in record["gt_masks"]]
        for annotation, mask, area in zip(annotations, masks, mask_areas(masks), strict=True):
            annotation["segmentation"] = mask
            annotation["iscrowd"] |= int(area == 0)
    for identifier, annotation in enumerate(annotations, 1):
        annotation["id"] = identifier
    return _database(annotations, records, num_classes)


def _found(records: list[dict], num_classes: int, kind: str) -> COCO:
    annotations: list[dict[str, Any]] = []
    for index, record in enumerate(records, 1):
        for label, box, score in zip(record["labels"], record["boxes"], record["scores"], strict=True):
            annotation = _annotation(index, label, box, score=float(score), iscrowd=0)
            annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
            annotation["id"] = len(annotations) + 1
            annotations.append(annotation)
    if kind == "segm":
        masks = [mask for record in records for mask in record["masks"]]
        for annotation, mask, area in zip(annotations, masks, mask_areas(masks), strict=True):
            annotation |= {"segmentation": mask, "area": float(area)}
    return _database(annotations, records, num_classes)


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
