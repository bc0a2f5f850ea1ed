"""Which token lies where when Swin transformers cut a map into windows or merge its tokens, as NumPy indices.

Source: arXiv:2103.14030, figures 2 and 4; padding and pieces as in the released backbone for detection.
"""

from __future__ import annotations

import functools

import numpy as np

# Four stages, with and without a shift, of some sizes of multi-scale training.
KEPT_LAYOUTS = 64


@functools.lru_cache(KEPT_LAYOUTS)
def window_layout(
    height: int, width: int, window: int, shift: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the tokens of windows come from, and where tokens go.

    The map is padded to whole windows at the bottom and right, and moved up and left by `shift` round its
    edges.

    Args:
        height, width: of the map, in tokens.
        window, shift: in tokens.
    Returns:
        int32 [W * window^2] token of every place, -1 for padding;
        int32 [height * width] place of every token;
        int32 [W, window^2] piece that a place belongs to: tokens attend to their own piece only.
    """
    rows, columns = (-(-size // window) * window for size in (height, width))
    y, x = np.mgrid[:rows, :columns]
    tokens = _in_windows(_tokens((y + shift) % rows, (x + shift) % columns, height, width), window).ravel()
    if not shift:
        return tokens, _inverse(tokens), np.zeros((1, window * window), np.int32)
    pieces = [
        (place >= size - window).astype(np.int32) + (place >= size - shift)
        for place, size in ((y, rows), (x, columns))
    ]
    return tokens, _inverse(tokens), _in_windows(3 * pieces[0] + pieces[1], window)


@functools.lru_cache(KEPT_LAYOUTS)
def merging_layout(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens of every 2 x 2 cell in the released order of (row, column): (0, 0), (1, 0), (0, 1), (1, 1).

    Returns:
        int32 [cells * 4] token of every place, -1 beyond an odd size;
        int32 [height * width] place of every token.
    """
    y, x = np.mgrid[: (height + 1) // 2, : (width + 1) // 2] * 2
    tokens = np.stack([_tokens(y + i, x + j, height, width) for j in (0, 1) for i in (0, 1)], -1).ravel()
    return tokens, _inverse(tokens)


def _tokens(y: np.ndarray, x: np.ndarray, height: int, width: int) -> np.ndarray:
    return np.where((y < height) & (x < width), y * width + x, -1).astype(np.int32)


def _in_windows(values: np.ndarray, window: int) -> np.ndarray:
    """[rows, columns] as [W, window^2], window by window."""
    rows, columns = (size // window for size in values.shape)
    cut = values.reshape(rows, window, columns, window).transpose(0, 2, 1, 3)
    return np.ascontiguousarray(cut.reshape(-1, window * window), np.int32)


def _inverse(tokens: np.ndarray) -> np.ndarray:
    """Place of every token, each of which has one."""
    places = np.flatnonzero(tokens >= 0)
    inverse = np.empty(len(places), np.int32)
    inverse[tokens[places]] = places
    return inverse


@functools.lru_cache
def relative_position_index(window: int) -> np.ndarray:
    """int32 [window^2, window^2] row of the table of biases for a query (first axis) and a key."""
    y, x = (place.ravel() for place in np.mgrid[:window, :window])
    down, right = y[:, None] - y[None] + window - 1, x[:, None] - x[None] + window - 1
    return (down * (2 * window - 1) + right).astype(np.int32)
