"""The COCO protocol, for boxes and for masks. The only file of jld that knows pycocotools' evaluation."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any, Literal

import numpy as np
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from jld.boxes.detections import Detections
from jld.boxes.masks import mask_areas
from jld.errors import ConfigError
from jld.evaluation import fast_coco
from jld.evaluation.records import MASK_PREFIX, Metrics, add_masks, pair_by_image
from jld.registry import EVALUATORS

# Order of the twelve numbers that COCOeval.summarize leaves behind.
STATISTICS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR", "ARs", "ARm", "ARl")
THRESHOLDS = np.arange(50, 100, 5)
"""IoU in percent."""


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
        backend: what computes the numbers. None: pycocotools, and hotcoco for the evaluations within a
            training where it is installed (`pip install "jld[analysis]"`): the same numbers, faster.
    Source: the COCO detection challenge (cocodataset.org); computed by pycocotools.
    """

    protocol = "COCO"
    best_metric = "AP"
    supported_sides = (4,)

    def __init__(
        self,
        max_detections: int = 100,
        with_masks: bool = False,
        backend: Literal["pycocotools", "hotcoco"] | None = None,
    ):
        if max_detections <= 10:
            raise ConfigError(f"CocoEvaluator.max_detections is {max_detections}; it must be above 10.")
        if backend == "hotcoco" and not fast_coco.is_installed():
            raise ConfigError(
                'CocoEvaluator.backend is "hotcoco", which is not installed: pip install "jld[analysis]".'
            )
        self.max_detections = max_detections
        self.with_masks = with_masks
        self.backend = backend

    def within_training(self) -> CocoEvaluator:
        """The evaluator that scores between the epochs of a training, as fast as it can."""
        other = copy(self)
        if self.backend is None and fast_coco.is_installed():
            other.backend = "hotcoco"
        return other

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
        compute = fast_coco.curves if self.backend == "hotcoco" else _curves
        precision, recall = compute(records, classes, kind, self.max_detections)
        return summary(precision, recall), _per_class(precision, classes)


def _curves(
    records: list[dict], classes: Sequence[str], kind: str, max_detections: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision [T, R, C, A, M] and recall [T, C, A, M] of all classes.

    Class by class, and of each the images that hold some: pycocotools keeps a record of every image, class
    and range of sizes, which takes gigabytes for a hundred detections in each image of val2017.
    """
    truth, found = (_rows_of_classes(records, key, len(classes)) for key in ("gt_labels", "labels"))
    pairs = list(zip(truth, found, strict=True)) or [(_NO_ROWS, _NO_ROWS)]
    curves = [_class_curves(records, *rows, kind, max_detections) for rows in pairs]
    precision, recall = (np.concatenate(each, axis=-3) for each in zip(*curves, strict=True))
    return precision, recall


def _class_curves(
    records: list[dict], truth: np.ndarray, found: np.ndarray, kind: str, max_detections: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision [T, R, 1, A, M] and recall [T, 1, A, M] of one class, -1 without ground truth.

    T thresholds, R recalls, A ranges of sizes, M limits of detections.

    Args:
        truth, found: [n, 2] (record, row in it) of the objects and the detections of the class.
    """
    found = found if len(truth) else _NO_ROWS
    images = np.union1d(truth[:, 0], found[:, 0])
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools reports its progress with print
        evaluation = COCOeval(
            _database(_true_annotations(records, truth, kind), images, records),
            _database(_found_annotations(records, found, kind), images, records),
            kind,
        )
        evaluation.params.maxDets = [1, 10, max_detections]
        evaluation.params.catIds = [0]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"], evaluation.eval["recall"]


_NO_ROWS = np.zeros((0, 2), np.int64)


def _rows_of_classes(records: list[dict], key: str, num_classes: int) -> list[np.ndarray]:
    """For every class [n, 2] (record, row in it) of the labels under `key`."""
    counts = [len(record[key]) for record in records]
    rows = np.concatenate([np.zeros(0, np.int64), *map(np.arange, counts)])
    pairs = np.stack([np.repeat(np.arange(len(records)), counts), rows], axis=1)
    labels = np.concatenate([np.zeros(0, np.int64), *(record[key] for record in records)])
    return [pairs[labels == label] for label in range(num_classes)]


def _prefixed(scores: dict[str, float]) -> dict[str, float]:
    return {f"{MASK_PREFIX}{name}": value for name, value in scores.items()}


def _database(annotations: list[dict], images: Iterable[int], records: list[dict]) -> COCO:
    # Identifiers start at 1: the matcher of pycocotools takes identifier 0 for "no match".
    for identifier, annotation in enumerate(annotations, 1):
        annotation["id"] = identifier
    sizes = {int(image): records[image].get("size", (0, 0)) for image in images}
    database = COCO()
    database.dataset = {
        "images": [{"id": image, "height": size[0], "width": size[1]} for image, size in sizes.items()],
        "categories": [{"id": 0}],
        "annotations": annotations,
    }
    database.createIndex()
    return database


def _annotation(image: int, box: np.ndarray, **values: Any) -> dict[str, Any]:
    x1, y1, x2, y2 = box.tolist()
    return {"image_id": image, "category_id": 0, "bbox": [x1, y1, x2 - x1, y2 - y1], **values}


def _true_annotations(records: list[dict], rows: np.ndarray, kind: str) -> list[dict]:
    annotations = [
        _annotation(
            image,
            records[image]["gt_boxes"][row],
            area=float(records[image]["gt_areas"][row]),
            iscrowd=int(records[image]["gt_is_ignored"][row]),
        )
        for image, row in rows.tolist()
    ]
    if kind == "segm":
        masks = [records[image]["gt_masks"][row] for image, row in rows.tolist()]
        for annotation, mask, area in zip(annotations, masks, mask_areas(masks), strict=True):
            annotation["segmentation"] = mask
            annotation["iscrowd"] |= int(area == 0)
    return annotations


def _found_annotations(records: list[dict], rows: np.ndarray, kind: str) -> list[dict]:
    annotations = [
        _annotation(
            image, records[image]["boxes"][row], score=float(records[image]["scores"][row]), iscrowd=0
        )
        for image, row in rows.tolist()
    ]
    for annotation in annotations:
        annotation["area"] = annotation["bbox"][2] * annotation["bbox"][3]
    if kind == "segm":
        masks = [records[image]["masks"][row] for image, row in rows.tolist()]
        for annotation, mask, area in zip(annotations, masks, mask_areas(masks), strict=True):
            annotation |= {"segmentation": mask, "area": float(area)}
    return annotations


def mean_defined(values: np.ndarray) -> float:
    """The mean of what is defined, -1 where nothing is."""
    # pycocotools marks what has no ground truth with -1.
    values = values[values > -1]
    return float(values.mean()) if values.size else -1.0


def summary(precision: np.ndarray, recall: np.ndarray) -> dict[str, float]:
    """The twelve statistics; unlike COCOeval.summarize it does not insist on a limit of 100 detections.

    Args:
        precision: [T, R, C, A, M]; recall: [T, C, A, M], see `_curves`.
    """
    values = [mean_defined(precision[..., 0, -1])]
    values += [mean_defined(precision[THRESHOLDS == iou][..., 0, -1]) for iou in (50, 75)]
    values += [mean_defined(precision[..., area, -1]) for area in (1, 2, 3)]
    values += [mean_defined(recall[..., 0, limit]) for limit in (0, 1, 2)]
    values += [mean_defined(recall[..., area, -1]) for area in (1, 2, 3)]
    return dict(zip(STATISTICS, values, strict=True))


def _per_class(precision: np.ndarray, classes: Sequence[str]) -> dict[str, dict[str, float]]:
    precision = precision[..., 0, -1]  # [T, R, C]
    rows = {"AP": precision} | {f"AP{iou}": precision[THRESHOLDS == iou] for iou in (50, 75)}
    return {
        name: {key: mean_defined(values[..., label]) for key, values in rows.items()}
        for label, name in enumerate(classes)
    }
