"""Everything that is wrong with a dataset, found before training starts and without decoding images."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jld.data.dataset import Dataset
from jld.data.images import IMAGE_SUFFIXES, BrokenImageError
from jld.data.problems import Problem, error, raise_errors, warning
from jld.data.tables import BORDER_TOLERANCE, AnnotationTable

HEADERS_READ = 200
SAME = 0.02
"""Two rates of a picture that was resized as a whole differ by less."""
MIXERS = np.random.default_rng(0).integers(1 << 63, size=6, dtype=np.uint64) * np.uint64(2) + np.uint64(1)


def check_dataset(dataset: Dataset, headers_read: int = HEADERS_READ) -> list[Problem]:
    """All findings about a dataset: from its annotations, missing images, sizes that disagree.

    Args:
        dataset: a dataset of `jld.data`; build it with `strict=False` to see annotation errors here as well.
        headers_read: of how many images, spread evenly, the header is compared with the annotated size.
    Returns:
        Errors first, then warnings, each in the order of the files.
    """
    problems = [*dataset.problems, *_repetitions(dataset.table)]
    if not dataset.has_files:
        return problems
    files = list(dict.fromkeys(dataset.image_file(index) for index in range(len(dataset) // dataset.times)))
    missing = _missing_files(files)
    problems += [error(f"image file does not exist{missing[file]}.", file) for file in missing]
    problems += _header_problems(dataset, missing, headers_read)
    return sorted(problems, key=lambda problem: problem.severity != "error")


def require_sound(dataset: Dataset, name: str) -> list[Problem]:
    """Checks a dataset and returns its warnings.

    Raises:
        DataError: there is an error; lists the first ones and how many there are.
    """
    problems = check_dataset(dataset)
    raise_errors(problems, name)
    return problems


def _repetitions(table: AnnotationTable | None) -> list[Problem]:
    """A line about upright boxes that repeat one of the same image and class; each would count on its own."""
    if table is None or table.boxes.shape[1] != 4:  # readers of rotated boxes look at their corners
        return []
    _, first = np.unique(np.array(list(map(str, table.image_ids))), return_inverse=True)
    owners = np.repeat(first, np.diff(table.offsets))
    columns = np.column_stack([owners, table.labels, table.boxes.astype(np.float64)]).view(np.uint64)
    # One number for each row: sorting a million of them takes a tenth of a second, sorting the rows seconds.
    mixed = (columns * MIXERS).sum(axis=1)
    order = np.argsort(mixed, kind="stable")
    again = order[1:][mixed[order[1:]] == mixed[order[:-1]]]
    if not len(again):
        return []
    row = again.min()
    where = f"image {table.image_ids[np.searchsorted(table.offsets, row, side='right') - 1]}"
    box = np.round(table.boxes[row], 1).tolist()
    text = f"{len(again)} objects repeat another one of the same image and class (first: {where}, box {box})."
    return [warning(text)]


def _missing_files(files: list[str]) -> dict[str, str]:
    """{file that is not there: what is there instead}."""
    # One listing per folder is much faster than one question per file, on network disks above all.
    present: dict[str, set[str]] = {}
    alike: dict[str, dict[str, str]] = {}
    missing = {}
    for file in files:
        folder, name = os.path.split(file)
        if folder not in present:
            is_there = Path(folder).is_dir()
            present[folder] = {entry.name for entry in Path(folder).iterdir()} if is_there else set()
            # Names are often right but for capitals or the suffix.
            alike[folder] = {_loosely(entry): entry for entry in present[folder]} if is_there else {}
        if name not in present[folder]:
            other = alike[folder].get(_loosely(name))
            missing[file] = f"; the folder holds {other}" if other else ""
    return missing


def _loosely(name: str) -> str:
    stem, suffix = os.path.splitext(name)  # noqa: PTH122 (of a million names)
    return (stem if suffix.lower() in IMAGE_SUFFIXES else name).casefold()


def _header_problems(dataset: Dataset, missing: Mapping[str, str], headers_read: int) -> list[Problem]:
    table, count = dataset.table, len(dataset) // dataset.times
    reader, problems, deep = dataset.image_reader, [], []
    for index in np.unique(np.linspace(0, count - 1, min(headers_read, count)).astype(int)):
        file = dataset.image_file(int(index))
        if file in missing:
            continue
        try:
            header = reader.header(file)
            reason = reader.excess(header)
        except BrokenImageError as problem:
            reason = problem.reason
        if reason:
            problems.append(warning(f"is passed over in training, {reason}.", file))
            continue
        deep += [(file, header.bits)] * (header.bits > 8)
        if table is None:
            continue
        height, width = header.size(reader.orientation)
        conflict = reader.conflict(header, table.sizes[index], _centers(table, index))
        if conflict:
            problems.append(error(conflict, file))
        elif (height, width) != tuple(table.sizes[index]):
            said = f"{table.sizes[index][1]}x{table.sizes[index][0]}"
            text = f"is {width}x{height} px, but its annotation says {said} (width x height)"
            is_resized = _was_resized((height, width), table.sizes[index], _centers(table, index))
            cure = ", and its objects suit that size only: was it resized after it was labelled?"
            problems.append(error(text + cure, file) if is_resized else warning(f"{text}.", file))
    if deep:
        (file, bits), others = deep[0], len(deep) - 1
        more = f" (and {others} more of the headers read)" if others else ""
        problems.append(
            warning(f"has {bits} bits per sample, which are scaled to 8, see docs/images.md{more}.", file)
        )
    return problems


def _was_resized(size: tuple[int, int], labelled: np.ndarray, centers: np.ndarray) -> bool:
    """Whether objects do not belong to a picture of this size: some lie outside, or all of it is scaled."""
    rates = np.array(size) / labelled
    is_scaled = abs(rates[0] / rates[1] - 1) < SAME and abs(rates[0] - 1) > SAME
    return len(centers) > 0 and bool(is_scaled or (centers > np.array(size[::-1]) + BORDER_TOLERANCE).any())


def _centers(table: Any, index: int) -> np.ndarray:
    """[n, 2] px of the boxes of an image, upright or rotated."""
    boxes = table.boxes[table.rows(index)]
    return boxes[:, :2] if boxes.shape[1] == 5 else (boxes[:, :2] + boxes[:, 2:4]) / 2
