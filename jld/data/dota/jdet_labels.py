"""`labels.pkl`, the annotation file of JDet's datasets: a list of dicts with plain NumPy arrays."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.rotated import polys_to_rboxes
from jld.checkpoint import atomic_write
from jld.checkpoint.malformed import Budget, reading
from jld.checkpoint.pickle_files import read_pickle
from jld.checkpoint.plain import Unfolder
from jld.data import values
from jld.data.dota.labels import PolyAnnotation
from jld.data.problems import error, raise_errors
from jld.errors import CheckpointError, DataError

JDET_VERSION = "le135"
FIELDS = {"filename": values.file_name, "width": values.side, "height": values.side}
ENTRY_KEYS = ("bboxes", "labels", "bboxes_ignore", "labels_ignore")


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


def read_jdet_labels(path: str | Path, num_classes: int) -> list[dict[str, Any]]:
    """The entries of a `labels.pkl`, JDet's or ours; nothing in the file is executed.

    Args:
        path: the file.
        num_classes: labels must lie in 1..num_classes.
    Returns:
        as `jdet_entry`, but boxes always [n, 5] and labels still counted from 1.
    Raises:
        DataError: the file is missing, damaged or no list of annotations; all broken entries are listed.
    """
    path = Path(path)
    entries = _read_list(path)
    read, problems = [], []
    for number, entry in enumerate(entries):
        try:
            read.append(_checked_entry(entry, num_classes))
        except ValueError as problem:
            name = entry.get("filename") if isinstance(entry, dict) else None
            problems.append(error(f"entry {number} ({name}) {problem}", path))
    raise_errors(problems, str(path))
    return read


def read_file_names(path: str | Path) -> list[str]:
    """Image files named in a `labels.pkl`, or in a pickled list of names; nothing in the file is executed.

    Raises:
        DataError: the file is missing, damaged, or no such list.
    """
    entries = _read_list(Path(path))
    names = [entry.get("filename") if isinstance(entry, dict) else entry for entry in entries]
    if not names or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path} names no images: expected a list of names, or of dicts with a filename.")
    return names


def _read_list(path: Path) -> list[Any]:
    try:
        with reading(path), path.open("rb") as stream:
            size = path.stat().st_size
            value, machine = read_pickle(stream, size)
            entries = Unfolder(Budget(size), machine.skipped, is_strict=True).unfold(value, "labels")
    except CheckpointError as problem:
        raise DataError(str(problem).replace("Cannot read checkpoint", "Cannot read annotations")) from None
    if not isinstance(entries, list):
        raise DataError(f"{path} holds no list of annotations, as JDet's labels.pkl does.")
    return entries


def _checked_entry(entry: Any, num_classes: int) -> dict[str, Any]:
    if not isinstance(entry, dict) or not isinstance(entry.get("ann"), dict):
        raise ValueError("has no `ann`.")
    missing = [key for key in ("filename", "width", "height") if key not in entry]
    missing += [f"ann.{key}" for key in ENTRY_KEYS if key not in entry["ann"]]
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}.")
    fields = {}
    for key, read in FIELDS.items():
        try:
            fields[key] = read(_plain(entry[key]))
        except ValueError as problem:
            raise ValueError(f"{key} {problem}.") from None
    parts = {}
    for suffix in ("", "_ignore"):
        try:
            boxes = np.asarray(entry["ann"][f"bboxes{suffix}"], np.float32).reshape(-1, 5)
            labels = np.asarray(entry["ann"][f"labels{suffix}"], np.int64).reshape(-1)
        except (TypeError, ValueError, OverflowError):
            raise ValueError(
                f"has bboxes{suffix} that are not [n, 5] or labels{suffix} not [n] numbers."
            ) from None
        if len(boxes) != len(labels):
            raise ValueError(f"has {len(boxes)} boxes and {len(labels)} labels.")
        if len(labels) and not (1 <= labels.min() and labels.max() <= num_classes):
            raise ValueError(f"has labels outside 1..{num_classes}: was it made for another set of classes?")
        parts |= {f"bboxes{suffix}": boxes, f"labels{suffix}": labels}
    return {**fields, "ann": parts}


def _plain(value: Any) -> Any:
    """A number as Python has it, where NumPy's stands for it."""
    return value.item() if isinstance(value, np.generic) else value
