"""Detections as json files for other programs: plain, and as COCO's evaluation server takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jld.boxes.detections import Detections
from jld.checkpoint import atomic_write
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
    return _write_list(_coco_entries(detections, category_ids, what), path)


def _coco_entries(
    detections: Iterable[Detections], category_ids: Sequence[int], what: str
) -> Iterator[dict[str, Any]]:
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


def save_detections(detections: Sequence[Detections], path: str | Path) -> Path:
    """Writes detections of one form, without masks, as NumPy arrays, bit for bit; returns the path."""
    form = detections[0].form if detections else "boxes"
    columns = {key: [getattr(found, key) for found in detections] for key in (form, "scores", "labels")}
    arrays = {key: np.concatenate(each) for key, each in columns.items() if each}
    ids, counts = [found.img_id for found in detections], list(map(len, detections))
    path = Path(path)
    atomic_write(path, lambda file: np.savez_compressed(file, img_ids=ids, counts=counts, **arrays))
    return path


def load_detections(path: str | Path) -> list[Detections]:
    """What `save_detections` wrote."""
    with np.load(path) as arrays:
        ends = np.cumsum(arrays["counts"])[:-1]
        ids = arrays["img_ids"].tolist()
        names = [key for key in arrays.files if key not in ("img_ids", "counts")]
        columns: dict[str, Any] = {key: np.split(arrays[key], ends) for key in names}
    rows = range(len(ids))
    return [Detections(ids[row], **{key: parts[row] for key, parts in columns.items()}) for row in rows]
