"""`labels.pkl`, the annotation file of JDet's datasets: a list of dicts with plain NumPy arrays."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.rotated import polys_to_rboxes
from jld.checkpoint import atomic_write
from jld.data.dota.labels import PolyAnnotation

JDET_VERSION = "le135"


def jdet_entry(
    filename: str, width: int, height: int, annotation: PolyAnnotation, classes: Sequence[str]
) -> dict[str, Any]:
    """One image: filename, width, height and `ann` with le135 boxes and labels counted from 1.

    Objects with flag 0 are `bboxes` [n, 5] float32 and `labels` [n] int64, those with flag 1 `bboxes_ignore`
    and `labels_ignore`, flag 2 is left out. Without objects the boxes have the shape [0], as JDet writes
    them.
    """
    # JDet measures boxes on float32 corners.
    boxes = polys_to_rboxes(annotation.polys.astype(np.float32), JDET_VERSION).astype(np.float32)
    labels, parts = annotation.labels(classes) + 1, {}
    for flag, suffix in ((0, ""), (1, "_ignore")):
        rows = annotation.difficult == flag
        parts[f"bboxes{suffix}"] = boxes[rows] if rows.any() else np.zeros(0, np.float32)
        parts[f"labels{suffix}"] = labels[rows]
    return {"filename": filename, "width": int(width), "height": int(height), "ann": parts}


def write_jdet_labels(path: str | Path, entries: Iterable[dict[str, Any]]) -> None:
    """Writes entries, sorted by file name, whole or not at all."""
    ordered = sorted(entries, key=lambda entry: entry["filename"])
    atomic_write(path, lambda stream: pickle.dump(ordered, stream))
