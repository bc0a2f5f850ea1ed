"""Label files as the records an evaluator compares detections with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.rotated import poly_areas, polys_to_xyxy
from jld.data.dota.labels import PolyAnnotation, read_label_file
from jld.data.problems import raise_errors


def truth_record(
    img_id: str, annotation: PolyAnnotation, classes: Sequence[str], **fields: Any
) -> dict[str, Any]:
    """The ground truth of one image.

    Args:
        img_id: name of the image.
        annotation: its objects; those of other classes are left out.
        classes: names, in the order of the labels.
        fields: further entries, such as img_file, width and height.
    Returns:
        dict with `img_id`, `polys` [n, 8] float64 px, `boxes` [n, 4] upright xyxy around them, `labels` [n],
        `is_difficult` [n] (any flag but 0), `difficult` [n] (the flag), `is_crowd` [n] (never), `areas` [n]
        px^2.
    """
    labels = annotation.labels(classes)
    known = annotation.select(labels >= 0)
    return {
        "img_id": img_id,
        **fields,
        "polys": known.polys,
        "boxes": polys_to_xyxy(known.polys),
        "labels": labels[labels >= 0],
        "is_crowd": np.zeros(len(known), bool),
        "is_difficult": known.difficult != 0,
        "difficult": known.difficult,
        "areas": poly_areas(known.polys),
    }


def read_ground_truth(
    label_folder: str | Path, classes: Sequence[str], image_ids: Iterable[str] | None = None
) -> list[dict[str, Any]]:
    """The ground truth of whole images (or patches), straight from their label files.

    Args:
        label_folder: with one `<image>.txt` per image.
        classes: names, in the order of the labels.
        image_ids: which images, in this order; by default all, sorted.
    Returns:
        one record per image, see `truth_record`.
    Raises:
        DataError: a file is missing, or lines cannot be used (all of them are shown).
    """
    folder = Path(label_folder)
    ids = sorted(file.stem for file in folder.glob("*.txt")) if image_ids is None else list(image_ids)
    records, problems = [], []
    for image_id in ids:
        annotation, found = read_label_file(folder / f"{image_id}.txt", classes)
        problems += found
        records.append(truth_record(image_id, annotation, classes))
    raise_errors(problems, str(folder))
    return records
