"""Putting figures with soft, faded and covered edges on a canvas, and keeping finished pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jld.data.shapes import blur, cloud, rational_rotation, stripes
from jld.errors import one_of

SPLITS = ("train", "val", "test")
REFERENCE_SIDE = 128
FADED_SHARE = 0.35
ROOT_THREE = math.sqrt(3.0)


class DrawnPictures:
    """Mixin of datasets that draw their images: which generator draws what, and images kept in memory.

    The dataset has a `table` and a method `draw(row, rng)` that gives an image [H, W, 3] uint8 BGR.
    """

    def set_up_pictures(self, split: str, image_size: int | Sequence[int], seed: int, cache: bool) -> None:
        """What the drawing depends on.

        Raises:
            ConfigError: unknown split.
        """
        one_of(split, SPLITS, f"{type(self).__name__} knows no split {split!r}")
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        self.split, self.seed = split, seed
        self.unit = min(self.image_size) / REFERENCE_SIDE
        self.keeps_images = cache
        self._drawn: dict[int, np.ndarray] = {}

    def read_image(self, index: int) -> np.ndarray:
        """[H, W, 3] uint8 BGR picture behind an index, drawn now unless it is kept in memory."""
        row = index % len(self.table)
        if row in self._drawn:
            return self._drawn[row].copy()
        image = self.draw(row, self.rng(row, 1))
        if self.keeps_images:
            self._drawn[row] = image.copy()
        return image

    def rng(self, index: int, purpose: int) -> np.random.Generator:
        """The generator of an image: purpose 0 places its objects, 1 draws its pixels, 2 errs."""
        # The purpose keeps boxes and pixels apart: ground truth is known without drawing.
        return np.random.default_rng([self.seed, SPLITS.index(self.split), index, 2 + purpose])

    def errors(self, index: int, shape: tuple[int, ...], deviation: float) -> np.ndarray:
        """What an annotator of an image is off by, within 0.4 of zero, the same on every machine."""
        # Four numbers from 0 to 1 have a sum of variance 1/3; a normal deviate is not the same everywhere.
        sums = self.rng(index, 2).random((*shape, 4)).sum(axis=-1) - 2
        return np.clip(sums * (ROOT_THREE * deviation), -0.4, 0.4)

    def __getstate__(self) -> dict[str, Any]:
        # Workers draw for themselves; sending kept images would cost more than drawing them.
        return {**self.__dict__, "_drawn": {}}


def finish_picture(canvas: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The canvas [H, W, 3] with noise, as uint8."""
    noise = rng.integers(-10, 11, canvas.shape, dtype=np.int8)
    return np.clip(np.floor(canvas + noise + 0.5), 0, 255).astype(np.uint8)


def paint(canvas: np.ndarray, figure: Any, rng: np.random.Generator, softness: float) -> int | None:
    """Puts a figure on the canvas [H, W, 3], with an edge as soft as chance wants, sometimes fading out.

    Returns:
        the side at which it fades out, an index of (x1, y1, x2, y2), or None.

    Args:
        canvas: changed in place.
        figure: has `box()`, `half_axes` and `coverage(xs, ys)`, see `jld.data.shapes.Figure`.
        rng: decides on blur, fading and colour.
        softness: blur in px, multiplied by 0.6 to 3.2; 0 leaves edges one pixel wide.
    """
    sigma = min(softness * (0.6 + 2.6 * rng.random()), 0.22 * figure.half_axes[1])
    order = int(2 * sigma * sigma + 0.5)
    x1, y1, x2, y2 = figure.box()
    margin = int(3 * sigma) + 2
    left, top = max(int(x1) - margin, 0), max(int(y1) - margin, 0)
    right, bottom = min(int(x2) + margin + 1, canvas.shape[1]), min(int(y2) + margin + 1, canvas.shape[0])
    xs, ys = np.arange(left, right) + 0.5, np.arange(top, bottom) + 0.5
    alpha = figure.coverage(xs, ys)
    if order:
        alpha = blur(alpha, order)
    faded = int(rng.integers(4)) if rng.random() < FADED_SHARE else None
    if faded is not None:
        alpha = alpha * _fade(figure, xs, ys, faded)
    part = canvas[top:bottom, left:right]
    part += alpha[:, :, None] * (surface(part, xs, ys, rng) - part)
    return None if faded is None else (0, 2, 1, 3)[faded]


def _fade(figure: Any, xs: np.ndarray, ys: np.ndarray, side: int) -> np.ndarray:
    # From full strength in the middle of the figure down to a fifth at one side of its box.
    x1, y1, x2, y2 = figure.box()
    low, high, values = (x1, x2, xs[None, :]) if side < 2 else (y1, y2, ys[:, None])
    way = (values - low) / (high - low)
    way = way if side % 2 else 1 - way
    return np.clip(1 - 1.6 * (way - 0.5), 0.2, 1)


def surface(part: np.ndarray, xs: np.ndarray, ys: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """[h, w, 3] colours for a figure on a part of the canvas."""
    # A colour at a moderate distance from what lies below, with stripes or clouds of its own.
    shift = rng.integers(30, 111, 3) * (2 * rng.integers(0, 2, 3) - 1)
    below = part[part.shape[0] // 2, part.shape[1] // 2]
    color = np.where((below + shift < 5) | (below + shift > 250), below - shift, below + shift)
    if rng.random() < 0.5:
        direction, period = (int(rng.integers(1, 5)), int(rng.integers(-4, 5))), int(rng.integers(6, 20))
        return color + stripes(xs, ys, direction, period)[:, :, None] * rng.integers(-40, 41, 3)
    return color + cloud(rng, len(ys), len(xs), 5, 30)


def paint_bar(canvas: np.ndarray, rng: np.random.Generator) -> None:
    """Puts a translucent bar right across the canvas [H, W, 3]."""
    height, width = canvas.shape[:2]
    cosine, sine = rational_rotation(int(rng.integers(-1000, 1001)), 1000)
    x, y = width * rng.random(), height * rng.random()
    half_width = min(height, width) / REFERENCE_SIDE * (1 + 2.5 * rng.random())
    across = (np.arange(width) + 0.5 - x)[None, :] * cosine + (np.arange(height) + 0.5 - y)[:, None] * sine
    alpha = np.clip(0.5 + half_width - np.abs(across), 0, 1) * (0.4 + 0.5 * rng.random())
    canvas += alpha[:, :, None] * (rng.integers(20, 236, 3) - canvas)
