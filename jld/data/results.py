"""Detections as json files for other programs: plain, and as COCO's evaluation server takes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jld.boxes.detections import Detections
from jld.checkpoint import atomic_write
from jld.errors import DataError


def write_plain_results(detections: Iterable[Detections], classes: Sequence[str], path: str | Path) -> Path:
    """Writes the class names and, per image, what `Detections.to_plain` gives; returns the path."""
    content = {"classes": list(classes), "images": [found.to_plain() for found in detections]}
    return _write_json(content, path)


def write_coco_results(
    detections: Iterable[Detections], category_ids: Sequence[int], path: str | Path
) -> Path:
    """Writes detections as a COCO result file; a reader sees all of it or none.

    Args:
        detections: per image, with upright boxes; masks become `segmentation`.
        category_ids: identifier of each label in the annotation file (COCO's 80 classes have gaps up to 90).
        path: the json file; its folder is made when missing.
    Returns:
        the path that was written.
    Raises:
        DataError: a label without an identifier, or boxes that are not upright.
    """
    results: list[dict[str, Any]] = []
    for found in detections:
        if found.boxes is None:
            raise DataError(
                f"image {found.img_id!r} has detections as {found.form}, but COCO has upright boxes."
            )
        masks = [{}] * len(found) if found.masks is None else [{"segmentation": mask} for mask in found.masks]
        for box, score, label, mask in zip(found.boxes, found.scores, found.labels, masks, strict=True):
            if not 0 <= label < len(category_ids):
                raise DataError(
                    f"image {found.img_id!r} has label {label}, but there are {len(category_ids)} ids."
                )
            x1, y1, x2, y2 = (float(value) for value in box)
            results.append(
                {
                    "image_id": found.img_id,
                    "category_id": int(category_ids[label]),
                    "bbox": [round(value, 3) for value in (x1, y1, x2 - x1, y2 - y1)],
                    "score": round(float(score), 5),
                    **mask,
                }
            )
    return _write_json(results, path)


def _write_json(content: Any, path: str | Path) -> Path:
    path = Path(path)
    atomic_write(path, lambda file: file.write(json.dumps(content).encode()))
    return path
