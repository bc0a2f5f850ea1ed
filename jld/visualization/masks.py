"""Instance masks over images: a veil in the colour of the class, with a line around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from jld.boxes.masks import to_bitmap
from jld.errors import DataError
from jld.visualization.canvas import Color, as_bgr, class_color

VEIL = 0.4


def draw_masks(
    image: np.ndarray,
    masks: Sequence[Mapping[str, Any]],
    labels: np.ndarray,
    scores: np.ndarray | None = None,
    *,
    score_threshold: float = 0.0,
    colors: Callable[[int], Color] = class_color,
) -> np.ndarray:
    """An image with masks; boxes and names go on top, see `jld.visualization.boxes.draw_boxes`.

    Args:
        image: uint8 [H, W, 3] BGR.
        masks: K run lengths of the size of the image.
        labels: [K] 0-based.
        scores: [K] in 0..1; the best is drawn last, on top. None: in the given order.
        score_threshold: masks scored below are left out.
        colors: BGR of a label.
    Returns:
        uint8 [H, W, 3] BGR.
    Raises:
        DataError: another number of labels or scores, or a mask of another size.
    """
    canvas = as_bgr(image)
    count = len(masks)
    if len(labels) != count or (scores is not None and len(scores) != count):
        given = "no" if scores is None else len(scores)
        raise DataError(f"{count} masks come with {len(labels)} labels and {given} scores.")
    order = np.arange(count) if scores is None else np.argsort(np.asarray(scores), kind="stable")
    for index in order.tolist():
        if scores is not None and scores[index] < score_threshold:
            continue
        if tuple(masks[index]["size"]) != canvas.shape[:2]:
            size = list(canvas.shape[:2])
            raise DataError(f"a mask has the size {list(masks[index]['size'])}, and its image {size}.")
        _draw(canvas, to_bitmap(masks[index]), colors(int(labels[index])))
    return canvas


def _draw(canvas: np.ndarray, mask: np.ndarray, color: Color) -> None:
    inside = mask.astype(bool)
    veiled = (1 - VEIL) * canvas[inside] + VEIL * np.array(color)
    canvas[inside] = np.round(veiled).astype(np.uint8)
    lines, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(canvas, lines, -1, color, max(1, round(max(canvas.shape[:2]) / 640)))
