"""Predicted masks of boxes become masks of whole images, as run lengths and without a whole image each."""

from __future__ import annotations

import math

import numpy as np

from jld.boxes.masks import RunLengths, from_counts


def paste_masks(
    probs: np.ndarray, boxes: np.ndarray, size: tuple[int, int], *, threshold: float = 0.5
) -> list[RunLengths]:
    """Masks of the image where the probability of a box's mask, stretched to the box, is high enough.

    A pixel of the image asks at its centre, bilinearly between the centres of the mask's pixels; what lies
    outside of them is 0.

    Args:
        probs: [K, S, S] (row, column) in 0..1.
        boxes: [K, 4] xyxy px of the image.
        size: (height, width) of the image, px.
        threshold: a pixel belongs to the mask from this probability on.
    Returns:
        K run lengths.
    Raises:
        ValueError: as many masks as boxes are needed.
    Source: the pasting of mmDetection 2 (fcn_mask_head.py) and detectron2 (mask_ops.py).
    Differs: a box without width or height marks no pixel; there it marks some around the mask's centre.
    """
    probs, boxes = np.asarray(probs, np.float32), np.asarray(boxes, np.float32)
    if probs.ndim != 3 or boxes.shape != (len(probs), 4):
        raise ValueError(f"masks {probs.shape} and boxes {boxes.shape} must be [K, S, S] and [K, 4].")
    return [_paste(prob, box, size, threshold) for prob, box in zip(probs, boxes.tolist(), strict=True)]


def _paste(prob: np.ndarray, box: list[float], size: tuple[int, int], threshold: float) -> RunLengths:
    x1, y1, x2, y2 = box
    rows, columns = _span(y1, y2, size[0]), _span(x1, x2, size[1])
    if not (len(rows) and len(columns)):
        return from_counts([size[0] * size[1]], size)
    # Columns first, as run lengths go, and a zero before and behind each.
    part = np.zeros((len(columns), len(rows) + 2), bool)
    soft = _shares(columns, x1, x2, prob.shape[1]) @ prob.T @ _shares(rows, y1, y2, prob.shape[0]).T
    np.greater_equal(soft, threshold, out=part[:, 1:-1])
    return _run_lengths(part, (columns.start, rows.start), size)


def _span(low: float, high: float, limit: int) -> range:
    """The pixels along one axis that the box reaches, and one more at each end; none if it has no length."""
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return range(0)
    return range(max(math.floor(low) - 1, 0), min(math.ceil(high) + 1, limit))


def _shares(pixels: range, low: float, high: float, count: int) -> np.ndarray:
    """[pixels, count] what each of `count` mask pixels between `low` and `high` gives to each image pixel."""
    centers = np.arange(pixels.start, pixels.stop, dtype=np.float32) + np.float32(0.5)
    places = (centers - np.float32(low)) / np.float32(high - low) * count - np.float32(0.5)
    return np.maximum(1 - np.abs(places[:, None] - np.arange(count, dtype=np.float32)), 0)


def _run_lengths(part: np.ndarray, corner: tuple[int, int], size: tuple[int, int]) -> RunLengths:
    """Run lengths of an image of zeros but for a part of it.

    Args:
        part: [w, h + 2] bool, columns with a zero at both ends.
        corner: (column, row) of its first pixel.
        size: (height, width) of the image.
    """
    flat = part.reshape(-1)
    columns, rows = np.divmod(np.flatnonzero(flat[1:] != flat[:-1]), part.shape[1])
    ends = (columns + corner[0]) * size[0] + rows + corner[1]  # in turn a first pixel and one behind the last
    # A run that ends at the lower border goes on where one begins at the upper border of the next column.
    meets = np.flatnonzero(ends[1:-1:2] == ends[2::2]) * 2 + 1
    if len(meets):
        ends = np.delete(ends, np.concatenate([meets, meets + 1]))
    counts = np.diff(ends, prepend=0, append=size[0] * size[1]).tolist()
    return from_counts(counts[:-1] if counts[-1] == 0 else counts, size)
