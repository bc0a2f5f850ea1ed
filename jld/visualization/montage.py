"""A grid of pictures with captions: one file that shows a whole experiment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jld.errors import DataError
from jld.visualization.canvas import PAPER, as_bgr, blank, fit_text, put_text, resize_to_fit, text_size


def montage(
    images: Sequence[np.ndarray],
    *,
    columns: int = 3,
    captions: Sequence[str] | None = None,
    cell_size: tuple[int, int] | None = None,
    gap: int = 12,
) -> np.ndarray:
    """Pictures in rows of equal cells; each is scaled to its cell, keeping its proportions.

    Args:
        images: uint8 [H, W, 3] BGR of any sizes.
        columns: pictures per row.
        captions: a line below each picture.
        cell_size: (height, width) of a cell in px; None: the median height and width of the pictures.
        gap: px between cells and around all.
    Returns:
        uint8 BGR.
    Raises:
        DataError: no image, or another number of captions than images.
    """
    if not len(images):
        raise DataError("a montage needs at least one image.")
    if captions is not None and len(captions) != len(images):
        raise DataError(f"a montage of {len(images)} images got {len(captions)} captions.")
    if cell_size is None:
        cell_size = tuple(int(np.median([image.shape[axis] for image in images])) for axis in (0, 1))
    columns = min(columns, len(images))
    caption_height = 0 if captions is None else text_size("g", 0.5)[1] + 16
    texts = captions or [""] * len(images)
    cells = [_cell(image, cell_size, text, caption_height) for image, text in zip(images, texts, strict=True)]
    height, width = cells[0].shape[:2]
    rows = -(-len(cells) // columns)
    sheet = blank(gap + rows * (height + gap), gap + columns * (width + gap), PAPER)
    for index, cell in enumerate(cells):
        y, x = gap + index // columns * (height + gap), gap + index % columns * (width + gap)
        sheet[y : y + height, x : x + width] = cell
    return sheet


def stack(images: Sequence[np.ndarray], *, gap: int = 8) -> np.ndarray:
    """Pictures below each other at their own size, left aligned.

    Args:
        images: uint8 [H, W, 3] BGR, at least one; gap: px between them.
    """
    width = max(image.shape[1] for image in images)
    parts = []
    for image in images:
        part = blank(image.shape[0], width, PAPER)
        part[:, : image.shape[1]] = as_bgr(image)
        parts += [part, blank(gap, width, PAPER)]
    return np.concatenate(parts[:-1], axis=0)


def _cell(image: np.ndarray, size: tuple[int, int], caption: str, caption_height: int) -> np.ndarray:
    height, width = size
    cell = blank(height + caption_height, width, PAPER)
    picture = resize_to_fit(as_bgr(image), height, width)
    y, x = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
    cell[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
    if caption:
        put_text(cell, fit_text(caption, width - 4, 0.5), (2, height + 6), scale=0.5)
    return cell
