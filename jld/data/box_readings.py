"""What the four numbers of boxes were meant as, where they cannot be what the format of their file says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from jld.data.tables import BORDER_TOLERANCE

CORNER_SIZE, CENTER_SIZE, CORNERS = "[x, y, width, height]", "[cx, cy, width, height]", "[x1, y1, x2, y2]"
READINGS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]] = {
    CORNER_SIZE: lambda first, last: (first, first + last),
    CENTER_SIZE: lambda first, last: (first - last / 2, first + last / 2),
    CORNERS: lambda first, last: (first, last),
}
"""{form: its first and last two numbers -> the corners}."""
MANY, SHARE, NEARLY_ALL = 3, 0.1, 0.99


def misread(numbers: np.ndarray, limits: np.ndarray, form: str) -> str:
    """A sentence, where many boxes leave their images in the form of the file and hardly any in another one.

    Boxes that are what the format says do not all happen to fit another one: some touch each border.

    Args:
        numbers: [T, 4] of the boxes, finite.
        limits: [T, 2] (width, height) of the image of each.
        form: one of `READINGS`, that of the file.
    """
    outside = ~_inside(numbers, limits, form)
    if outside.sum() < max(MANY, SHARE * len(numbers)):
        return ""
    for other in READINGS:
        if other != form and _inside(numbers, limits, other).mean() >= NEARLY_ALL:
            return (
                f"holds {len(numbers)} boxes, of which {outside.sum()} leave their images as {form}, the "
                f"form of such files, but not as {other}: convert them."
            )
    return ""


def _inside(numbers: np.ndarray, limits: np.ndarray, form: str) -> np.ndarray:
    near, far = READINGS[form](numbers[:, :2], numbers[:, 2:])
    return ((near >= -BORDER_TOLERANCE) & (far >= near) & (far <= limits + BORDER_TOLERANCE)).all(axis=1)
