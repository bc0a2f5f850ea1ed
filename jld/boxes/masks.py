"""Masks of objects as run lengths in COCO's form, and what becomes polygons of them and back.

Run lengths are {"size": [height, width], "counts": text}: a mask read column by column, as COCO's result
files hold it. Polygons are filled by pycocotools' rule: a closed polygon by its even-odd interior, several
polygons of one object together. Vertices are x, y in px, where pixel (0, 0) reaches from 0 to 1. The only
file of jld that knows pycocotools' masks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as pycoco

RunLengths = dict[str, Any]


def fill_polygons(parts: Sequence[np.ndarray], size: tuple[int, int]) -> RunLengths:
    """The union of polygons as run lengths.

    Args:
        parts: polygons [v, 2] of at least three vertices, px; none give an empty mask.
        size: (height, width) px.
    """
    if not parts:
        return from_counts([size[0] * size[1]], size)
    encoded = pycoco.frPyObjects([part.reshape(-1) for part in parts], *size)
    return _as_text(pycoco.merge(encoded))


def from_counts(counts: Sequence[int], size: tuple[int, int]) -> RunLengths:
    """Run lengths from plain counts, which begin with the zeros and add up to height x width."""
    return _as_text(pycoco.frPyObjects({"size": list(size), "counts": list(counts)}, *size))


def from_bitmap(bitmap: np.ndarray) -> RunLengths:
    """Run lengths of a mask [H, W] of zeros and ones."""
    return _as_text(pycoco.encode(np.asfortranarray(bitmap, np.uint8)))


def to_bitmap(mask: Mapping[str, Any]) -> np.ndarray:
    """[H, W] uint8 zeros and ones."""
    return pycoco.decode(mask)


def mask_areas(masks: Sequence[RunLengths]) -> np.ndarray:
    """[K] int64 px squared."""
    return np.asarray(pycoco.area(list(masks)) if masks else [], np.int64)


def mask_boxes(masks: Sequence[RunLengths]) -> np.ndarray:
    """[K, 4] float64 xyxy px around each mask; zeros where it is empty."""
    boxes = np.asarray(pycoco.toBbox(list(masks)) if masks else [], np.float64).reshape(-1, 4)
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def read_counts(text: str) -> np.ndarray:
    """[n] int64 counts of run lengths that are written as text, whatever they add up to.

    Raises:
        ValueError: no such text, with the end of a sentence.
    Source: the text form of pycocotools: five bits a character from "0" on, a sixth where the number goes on,
        the differences to the count before the last from the fourth number on.
    """
    codes = np.frombuffer(text.encode("latin-1", "replace"), np.uint8).astype(np.int64) - 48
    if codes.size and not (0 <= codes.min() and codes.max() < 64):
        raise ValueError("holds characters that run lengths do not have")
    ends = np.flatnonzero(codes < 32)
    if codes.size and (not ends.size or ends[-1] != codes.size - 1):
        raise ValueError("ends within a number")
    starts = np.concatenate([[0], ends[:-1] + 1]) if ends.size else ends
    digits = ends - starts + 1
    if digits.size and digits.max() > 7:  # 35 bits: more than any count
        raise ValueError("holds a number that is too large")
    places = np.arange(codes.size) - np.repeat(starts, digits)
    numbers = np.add.reduceat((codes & 31) << (5 * places), starts) if ends.size else ends
    numbers = np.where(codes[ends] & 16, numbers - (np.int64(1) << (5 * digits)), numbers)
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    return numbers


def outline(bitmap: np.ndarray) -> np.ndarray:
    """One closed polygon whose even-odd interior is a mask, whatever holes and islands that has.

    The polygon follows the borders of pixels. Where there are several borders it goes from the first to each
    and back on the same line, which fills nothing.

    Args:
        bitmap: [H, W] zeros and ones.
    Returns:
        [v, 2] float64 x, y px; [0, 2] of an empty mask. `fill_polygons` gives the mask again.
    """
    cells = np.pad(np.asarray(bitmap, np.int8), 1)
    here, right, below, across = cells[:-1, :-1], cells[:-1, 1:], cells[1:, :-1], cells[1:, 1:]
    is_saddle = (here == across) & (right == below) & (here != right)
    count = (here ^ right ^ below ^ across) + 2 * is_saddle  # corners of borders at every corner of pixels
    ys, xs = np.nonzero(count)
    ys, xs = (np.repeat(values, count[ys, xs]) for values in (ys, xs))
    # Along a row of corners a border runs between the first and the second, the third and the fourth, ...; so
    # it does along a column. A walk alternates between the two.
    by_column = np.lexsort((ys, xs))
    vertical = np.empty(len(ys), np.int64)
    vertical[by_column] = by_column.reshape(-1, 2)[:, ::-1].reshape(-1)
    order = _walk(vertical.tolist())
    return np.stack([xs[order], ys[order]], axis=1).astype(np.float64)


def _walk(vertical: list[int]) -> np.ndarray:
    """Corners in the order of one closed walk: `vertical` and `index ^ 1` lead from a corner to the next."""
    seen = bytearray(len(vertical))
    walk: list[int] = []
    for start in range(0, len(vertical), 2):
        if seen[start]:
            continue
        at, loop = start, []
        while not seen[at]:
            loop += [at, at ^ 1]
            seen[at] = seen[at ^ 1] = 1
            at = vertical[at ^ 1]
        walk += [*loop, start, walk[0]] if walk else [*loop, start]
    return np.array(walk, np.int64)


def _as_text(mask: RunLengths) -> RunLengths:
    return {"size": list(mask["size"]), "counts": mask["counts"].decode("ascii")}
