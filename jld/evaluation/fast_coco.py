"""COCO's protocol in hotcoco (`pip install "jld[analysis]"`): pycocotools' numbers, much faster.

The only file of jld that knows hotcoco. It takes all classes at once, boxes as columns, and also compares
rotated boxes, for which there is no reference to equal: those numbers are an extension of the protocol.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jld.boxes.masks import mask_areas
from jld.utils.extras import require

if TYPE_CHECKING:
    from hotcoco import COCOeval

SHAPES = {"bbox": "boxes", "segm": "masks", "obb": "rboxes"}
"""{kind of evaluation: key of the shapes in a record}."""


def is_installed() -> bool:
    """Whether hotcoco can be imported."""
    return importlib.util.find_spec("hotcoco") is not None


def evaluated(
    records: Sequence[dict], classes: Sequence[str], kind: str = "bbox", max_detections: int = 100
) -> COCOeval:
    """Detections matched with the ground truth of their images, as hotcoco keeps it.

    Images are called 1, 2, ... in the order of the records and classes 1, 2, ...; objects and detections are
    numbered from 1 through all images, in the order of the records.

    Args:
        records: see `jld.evaluation.records.pair_by_image`; with masks `add_masks`; for "obb" with `rboxes`
            and `gt_rboxes` [n, 5] px, radians.
        classes: names, in the order of the labels.
        kind: a key of `SHAPES`.
        max_detections: of an image and class, see `CocoEvaluator`.
    Raises:
        ConfigError: hotcoco is not installed.
    """
    hotcoco = require("hotcoco", "analysis")
    tables = {
        "images": [
            {"id": number, "height": size[0], "width": size[1]}
            for number, size in enumerate((record.get("size", (0, 0)) for record in records), 1)
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(classes, 1)],
    }
    truth = _truth(hotcoco.COCO, tables, records, kind)
    evaluation = hotcoco.COCOeval(truth, truth.load_res(_found(records, kind)), kind)
    evaluation.params.max_dets = [1, 10, max_detections]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def curves(
    records: Sequence[dict], classes: Sequence[str], kind: str, max_detections: int
) -> tuple[np.ndarray, np.ndarray]:
    """Precision [T, R, C, A, M] and recall [T, C, A, M] as pycocotools gives them; see `evaluated`."""
    tables = evaluated(records, classes, kind, max_detections).eval or {}
    return tables["precision"], tables["recall"]


def _truth(COCO: Any, tables: dict[str, list[dict]], records: Sequence[dict], kind: str) -> Any:
    areas, is_crowd = _column(records, "gt_areas"), _column(records, "gt_is_ignored").astype(np.int64)
    more: dict[str, Any] = {}
    if kind == "segm":
        more["segmentation"] = [mask for record in records for mask in record["gt_masks"]]
        is_crowd |= mask_areas(more["segmentation"]) == 0
    images, labels = _owners(records, "gt_labels")
    if kind != "obb":
        boxes = _xywh(_column(records, "gt_boxes", 4))
        return COCO.from_arrays(
            **tables, image_ids=images, category_ids=labels, boxes=boxes, area=areas, iscrowd=is_crowd, **more
        )
    columns = {"image_id": images, "category_id": labels, "area": areas, "iscrowd": is_crowd}
    columns["obb"] = _column(records, "gt_rboxes", 5)
    rows = zip(*(column.tolist() for column in columns.values()))
    annotations = [{"id": number, **dict(zip(columns, row))} for number, row in enumerate(rows, 1)]
    return COCO({**tables, "annotations": annotations})


def _found(records: Sequence[dict], kind: str) -> np.ndarray | list[dict]:
    """What `COCO.load_res` takes: a row per box, or a dict per mask or rotated box."""
    images, labels = _owners(records, "labels")
    scores = _column(records, "scores")
    if kind == "bbox":
        boxes = _xywh(_column(records, "boxes", 4))
        return np.column_stack([images, boxes, scores, labels])
    key = {"segm": "segmentation", "obb": "obb"}[kind]
    shapes = (shape for record in records for shape in record[SHAPES[kind]])
    shapes = (shape.tolist() if kind == "obb" else shape for shape in shapes)
    columns = ("image_id", "category_id", "score", key)
    return [dict(zip(columns, row)) for row in zip(images.tolist(), labels.tolist(), scores.tolist(), shapes)]


def _owners(records: Sequence[dict], key: str) -> tuple[np.ndarray, np.ndarray]:
    """(image, class) of all labels under `key`, both counted from 1."""
    counts = [len(record[key]) for record in records]
    return np.repeat(np.arange(1, len(records) + 1), counts), _column(records, key).astype(np.int64) + 1


def _column(records: Sequence[dict], key: str, width: int = 0) -> np.ndarray:
    """[n] or [n, width] float64: the arrays under `key` behind each other."""
    none = np.zeros((0, width) if width else 0)
    return np.concatenate([none, *(np.asarray(record[key], np.float64) for record in records)])


def _xywh(boxes: np.ndarray) -> np.ndarray:
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)
