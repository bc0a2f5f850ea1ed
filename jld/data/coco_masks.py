"""Masks of a COCO json file (`segmentation`), with everything that is wrong with them.

A mask is a list of polygons, or run lengths: plain counts or their text. Read strictly: what cannot be one,
run lengths of another size and coordinates far outside of the image are errors. Objects without a mask, with
an empty one, or whose box lies elsewhere than their mask are neither object nor background.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain, compress
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.masks import fill_polygons, from_counts, mask_areas, mask_boxes, read_counts
from jld.data import values
from jld.data.instance_masks import Polygons
from jld.data.mask_table import ELSEWHERE, EMPTY, FAULTS, MISSING, MaskTable
from jld.data.problems import Problem, error, warning

MOST_PIXELS = 1 << 31
SMALL_AREA = 1.0
"""px squared; a polygon of less may cover no pixel, so it is filled to see."""
MIN_SHARE_OF_MASK, MIN_SHARE_OF_BOX = 0.5, 0.05
"""How much of the box around a mask lies in the annotated box, and the other way round, where both agree: a
mask may be the visible part of what the box surrounds."""
Name = Callable[[int], str]


def read_masks(
    segmentations: Sequence[Any], boxes: np.ndarray, sizes: np.ndarray, *, name: Name, path: Path
) -> tuple[MaskTable, list[Problem]]:
    """The masks of T objects.

    Args:
        segmentations: what the file says of each; None where it says nothing.
        boxes: [T, 4] xyxy px, the annotated ones.
        sizes: [T, 2] (height, width) of the image of each.
        name: how messages call an object.
        path: the file, for messages.
    """
    problems: list[Problem] = []
    texts = [""] * len(segmentations)
    shapes: list[list[list[float]]] = []
    for index, value in enumerate(segmentations):
        parts: list[list[float]] = []
        try:
            if isinstance(value, dict):
                texts[index] = _read_run_lengths(value, tuple(sizes[index].tolist()))
            elif value is not None:
                parts = _checked_parts(value)
        except ValueError as reason:
            problems.append(error(f"{name(index)}: segmentation {reason}.", path))
        shapes.append(parts)
    polygons, found = _polygons(shapes, sizes, name, path)
    problems += found
    has_text = np.array([bool(text) for text in texts], bool)
    faults = np.where(np.diff(polygons.object_starts) + has_text > 0, 0, MISSING)
    extents = _extents(polygons, texts, sizes)
    faults[(faults == 0) & _lie_elsewhere(extents, boxes)] = ELSEWHERE
    faults[(faults == 0) & _are_empty(polygons, texts, sizes, extents)] = EMPTY
    return MaskTable.of(polygons, texts, faults), problems


def mask_findings(masks: MaskTable, is_crowd: np.ndarray, *, name: Name, path: Path) -> list[Problem]:
    """What is to be said of the masks of objects that are no crowds, once every object has been looked at."""
    faults = np.where(is_crowd, 0, masks.faults)
    count = int((~is_crowd).sum())
    by_fault = [np.flatnonzero(faults == fault) for fault in range(len(FAULTS))]
    if count and len(by_fault[MISSING]) == count:
        text = (
            f"holds {count} objects with boxes and no mask (`segmentation`): a detector of masks needs them. "
            "Export the masks too, or set with_masks=False and train a detector of boxes."
        )
        return [error(text, path)]
    if 2 * len(by_fault[ELSEWHERE]) > count:
        text = (
            f"holds {len(by_fault[ELSEWHERE])} of {count} masks that lie elsewhere than their boxes (first: "
            f"{name(by_fault[ELSEWHERE][0])}): are they fractions, or of an image of another size?"
        )
        return [error(text, path)]
    return [
        warning(
            f"holds {len(rows)} objects {FAULTS[fault]}, which are ignored (first: {name(rows[0])}).", path
        )
        for fault, rows in enumerate(by_fault)
        if fault and len(rows)
    ]


def _checked_parts(value: Any) -> list[list[float]]:
    """The polygons of one object, as lists of numbers of even length."""
    if not isinstance(value, list):
        raise ValueError(f"is {values.shown(value)}, but must be a list of polygons or an object with counts")
    for part in value:
        if not isinstance(part, list):
            raise ValueError(
                f"holds {values.shown(part)}, but must be a list of polygons: [[x, y, x, y, ...]]"
            )
        if len(part) % 2:
            raise ValueError(f"holds a polygon of {len(part)} numbers, but each vertex has two")
        if not set(map(type, part)) <= {int, float}:
            other = next(each for each in part if type(each) not in (int, float))
            raise ValueError(f"holds {values.shown(other)} in a polygon, which is no number")
    return value


def _read_run_lengths(value: dict, size: tuple[int, int]) -> str:
    """The counts as text, made sure of: pycocotools writes where they say."""
    given = value.get("size")
    if not isinstance(given, list) or tuple(given) != size:
        raise ValueError(
            f"has run lengths of size {values.shown(given)} (height, width), but its image has {list(size)}"
        )
    if size[0] * size[1] >= MOST_PIXELS:
        raise ValueError(f"has run lengths of more than {MOST_PIXELS} pixels")
    counts = value.get("counts")
    if isinstance(counts, str):
        numbers = read_counts(counts).tolist()
    elif isinstance(counts, list) and set(map(type, counts)) <= {int}:
        numbers = counts
    else:
        raise ValueError(f"has counts {values.shown(counts)}, but they must be whole numbers or text")
    if min(numbers, default=-1) < 0 or sum(numbers) != size[0] * size[1]:
        raise ValueError(
            f"has run lengths that do not add up to the {size[0]} x {size[1]} pixels of its image"
        )
    return from_counts(numbers, size)["counts"]


def _polygons(
    shapes: list[list[list[float]]], sizes: np.ndarray, name: Name, path: Path
) -> tuple[Polygons, list[Problem]]:
    """Flat arrays of the polygons that have at least three vertices."""
    parts = list(chain.from_iterable(shapes))
    lengths = np.fromiter(map(len, parts), np.int64, len(parts)) // 2
    owners = np.repeat(np.arange(len(shapes)), np.fromiter(map(len, shapes), np.int64, len(shapes)))
    problems: list[Problem] = []
    short = np.flatnonzero(lengths < 3)
    if len(short):
        text = f"holds {len(short)} polygons of fewer than three vertices, which are passed over "
        problems.append(warning(f"{text}(first: {name(owners[short[0]])}).", path))
        parts = list(compress(parts, (lengths >= 3).tolist()))
        owners, lengths = owners[lengths >= 3], lengths[lengths >= 3]
    try:
        flat = np.fromiter(chain.from_iterable(parts), np.float64, int(2 * lengths.sum()))
    except OverflowError:
        flat = np.full(int(2 * lengths.sum()), np.inf)
    vertices = flat.reshape(-1, 2)
    limits = sizes[np.repeat(owners, lengths)][:, ::-1]
    # A polygon may reach over the border, but not by more than the image itself.
    is_far = ~((vertices >= -limits) & (vertices <= 2 * limits)).all(axis=1)
    for index in np.unique(np.repeat(owners, lengths)[is_far]):
        text = f"{name(index)}: segmentation has vertices that are no numbers or lie far outside of its image"
        problems.append(error(f"{text} of {sizes[index][1]}x{sizes[index][0]} px.", path))
    vertices = np.clip(np.nan_to_num(vertices), -limits, 2 * limits)
    counts = np.bincount(owners, minlength=len(shapes))
    starts = [np.concatenate([[0], np.cumsum(each)]).astype(np.int64) for each in (lengths, counts)]
    return Polygons(vertices, *starts), problems


def _extents(polygons: Polygons, texts: Sequence[str], sizes: np.ndarray) -> np.ndarray:
    """[T, 4] xyxy px around each mask; zeros where there is none."""
    extents = np.zeros((len(texts), 4))
    starts = polygons.part_starts[polygons.object_starts]
    owners = np.flatnonzero(np.diff(starts))
    if len(owners):
        extents[owners, :2] = np.minimum.reduceat(polygons.vertices, starts[owners])
        extents[owners, 2:] = np.maximum.reduceat(polygons.vertices, starts[owners])
    with_text = [index for index, text in enumerate(texts) if text]
    masks = [{"size": sizes[index].tolist(), "counts": texts[index]} for index in with_text]
    extents[with_text] = mask_boxes(masks)
    return extents


def _are_empty(
    polygons: Polygons, texts: Sequence[str], sizes: np.ndarray, extents: np.ndarray
) -> np.ndarray:
    """[T] bool: which masks cover nothing. Most polygons tell by their area, the others are filled."""
    x, y = polygons.vertices.T
    rows = np.arange(len(x)) + 1
    starts = polygons.part_starts
    if len(starts) > 1:
        rows[starts[1:] - 1] = starts[:-1]
    doubled = x * y[rows] - x[rows] * y if len(rows) else x
    parts = np.abs(np.add.reduceat(doubled, starts[:-1])) / 2 if len(starts) > 1 else np.zeros(0)
    owners = np.repeat(np.arange(len(texts)), np.diff(polygons.object_starts))
    areas = np.bincount(owners, parts, minlength=len(texts))
    is_empty = (extents[:, 2:] <= extents[:, :2]).any(axis=1)
    for index in np.flatnonzero(~is_empty & (areas < SMALL_AREA) & (np.diff(polygons.object_starts) > 0)):
        filled = fill_polygons(polygons.parts(index), tuple(sizes[index].tolist()))
        is_empty[index] = mask_areas([filled])[0] == 0
    return is_empty


def _lie_elsewhere(extents: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    near, far = np.maximum(extents[:, :2], boxes[:, :2]), np.minimum(extents[:, 2:], boxes[:, 2:])
    common = np.prod(np.maximum(far - near, 0), axis=1)
    own, theirs = (np.prod(each[:, 2:] - each[:, :2], axis=1) for each in (extents, boxes))
    return (own > 0) & ((common < MIN_SHARE_OF_MASK * own) | (common < MIN_SHARE_OF_BOX * theirs))
