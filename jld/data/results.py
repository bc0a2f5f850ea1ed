"""Detections as json files for other programs: plain, and as COCO's evaluation server takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jld.boxes.detections import FORMS, Detections
from jld.checkpoint import atomic_write
from jld.data.json_files import read_json
from jld.errors import DataError


def write_plain_results(detections: Iterable[Detections], classes: Sequence[str], path: str | Path) -> Path:
    """Writes the class names and, per image, what `Detections.to_plain` gives; returns the path."""
    opening = f'{{"classes": {json.dumps(list(classes))}, "images": ['
    return _write_list((found.to_plain() for found in detections), path, opening, "]}")


def write_coco_results(
    detections: Iterable[Detections],
    category_ids: Sequence[int],
    path: str | Path,
    *,
    what: str = "bbox",
) -> Path:
    """Writes detections as a COCO result file; a reader sees all of it or none.

    Written one by one: a million masks take no memory beside what holds them.

    Args:
        detections: per image, with upright boxes.
        category_ids: identifier of each label in the annotation file (COCO's 80 classes have gaps up to 90).
        path: the json file; its folder is made when missing.
        what: "bbox" or "segmentation". With both, COCO's own programs would sort masks by the areas of their
            boxes.
    Returns:
        the path that was written.
    Raises:
        DataError: a label without an identifier, boxes that are not upright, or no masks where they are asked
            for.
    """
    return _write_list(coco_entries(detections, category_ids, what), path)


def coco_entries(
    detections: Iterable[Detections], category_ids: Sequence[int], what: str = "bbox"
) -> Iterator[dict[str, Any]]:
    """The objects of a COCO result file, see `write_coco_results`."""
    for found in detections:
        if found.boxes is None:
            raise DataError(
                f"image {found.img_id!r} has detections as {found.form}, but COCO has upright boxes."
            )
        shapes: Sequence[Any] = [[round(value, 3) for value in box] for box in _xywh(found.boxes)]
        if what == "segmentation":
            if found.masks is None and len(found):
                raise DataError(f"image {found.img_id!r} has detections without masks.")
            shapes = found.masks or []
        for shape, score, label in zip(shapes, found.scores, found.labels, strict=True):
            if not 0 <= label < len(category_ids):
                raise DataError(
                    f"image {found.img_id!r} has label {label}, but there are {len(category_ids)} ids."
                )
            yield {
                "image_id": found.img_id,
                "category_id": int(category_ids[label]),
                what: shape,
                "score": round(float(score), 5),
            }


def _xywh(boxes: np.ndarray) -> list[list[float]]:
    boxes = np.asarray(boxes, np.float64)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1).tolist()


def _write_list(entries: Iterable[Any], path: str | Path, opening: str = "[", closing: str = "]") -> Path:
    def write(file: BinaryIO) -> None:
        separator = opening
        for entry in entries:
            file.write(f"{separator}{json.dumps(entry)}".encode())
            separator = ", "
        file.write(f"{opening if separator == opening else ''}{closing}".encode())

    path = Path(path)
    atomic_write(path, write)
    return path


def read_results(
    path: str | Path, classes: Sequence[str], category_ids: Sequence[int] = ()
) -> list[Detections]:
    """Detections per image of a file that `write_plain_results` wrote, or of a COCO result file of boxes.

    Args:
        classes: the names that the labels are to follow.
        category_ids: of each label, for a COCO result file.
    Raises:
        DataError: the file is neither, or has other classes.
    """
    path = Path(path)
    content = read_json(path, "the detections")
    try:
        if isinstance(content, dict):
            if list(content["classes"]) != list(classes):
                raise DataError(f"{path} has the classes {content['classes']}, and the data {list(classes)}.")
            return [_plain_detections(entry) for entry in content["images"]]
        return _coco_detections(content, {number: label for label, number in enumerate(category_ids)})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path}: neither detections of jld nor a COCO result file ({error!r}).") from error


def _plain_detections(entry: dict[str, Any]) -> Detections:
    shapes = np.asarray(entry.get("polys", entry.get("boxes")), np.float64)
    form = next((form for form, sides in FORMS.items() if shapes.shape[1:] == (sides,)), "boxes")
    given: dict[str, Any] = {
        form: shapes,
        "scores": np.array(entry["scores"]),
        "labels": np.array(entry["labels"]),
        "masks": entry.get("masks"),
    }
    return Detections(img_id=entry["img_id"], **given)


def _coco_detections(entries: Sequence[dict[str, Any]], labels: dict[int, int]) -> list[Detections]:
    by_image: dict[Any, list[dict[str, Any]]] = {}
    for entry in entries:
        by_image.setdefault(entry["image_id"], []).append(entry)
    found = []
    for image, own in by_image.items():
        boxes = np.array([entry["bbox"] for entry in own], np.float64)
        boxes[:, 2:] += boxes[:, :2]
        scores = np.array([entry["score"] for entry in own])
        kinds = np.array([labels[entry["category_id"]] for entry in own])
        found.append(Detections(image, scores, kinds, boxes=boxes))
    return found
