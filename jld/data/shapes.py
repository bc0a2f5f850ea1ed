"""Figures, textures and soft edges for drawn images.

Pictures must be equal on every machine, so only exact arithmetic is used: integers, and elementwise float64
operations that IEEE 754 rounds correctly (sums, products, square roots; no sine, no exponential, no random
normals). Blurring convolves whole numbers that stay far below 2**53, where the order of summation cannot
matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

KINDS = ("disc", "ring", "square", "triangle", "cross")
ROOT_HALF, ROOT_THREE_QUARTERS = math.sqrt(0.5), math.sqrt(0.75)
RING_HOLE, CROSS_WIDTH = 0.55, 0.34
KERNEL_TOTAL = 4096

_CORNERS = {
    "square": [(x, y) for x in (-ROOT_HALF, ROOT_HALF) for y in (-ROOT_HALF, ROOT_HALF)],
    "triangle": [(0.0, 1.0), (-ROOT_THREE_QUARTERS, -0.5), (ROOT_THREE_QUARTERS, -0.5)],
    "cross": [
        (sx * x, sy * y)
        for x, y in ((1.0, CROSS_WIDTH), (CROSS_WIDTH, 1.0))
        for sx in (-1, 1)
        for sy in (-1, 1)
    ],
}


@dataclass(frozen=True)
class Figure:
    """One figure: kind, centre and half axes in px, and the rotation as (cosine, sine)."""

    kind: str
    center: tuple[float, float]
    half_axes: tuple[float, float]
    rotation: tuple[float, float]

    def half_extent(self) -> tuple[float, float]:
        """(half width, half height) of the horizontal box around the figure; symmetric kinds only need these.

        A triangle's box is not centred, see `box`.
        """
        (a, b), (cosine, sine) = self.half_axes, self.rotation
        return math.sqrt((a * cosine) ** 2 + (b * sine) ** 2), math.sqrt((a * sine) ** 2 + (b * cosine) ** 2)

    def box(self) -> tuple[float, float, float, float]:
        """Extent (x1, y1, x2, y2) of the whole figure with sharp edges, px."""
        (x, y), (a, b), (cosine, sine) = self.center, self.half_axes, self.rotation
        if self.kind not in _CORNERS:
            half_width, half_height = self.half_extent()
            return x - half_width, y - half_height, x + half_width, y + half_height
        corners = [(u * a, v * b) for u, v in _CORNERS[self.kind]]
        xs = [x + cosine * u - sine * v for u, v in corners]
        ys = [y + sine * u + cosine * v for u, v in corners]
        return min(xs), min(ys), max(xs), max(ys)

    def coverage(self, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        """How much of each pixel the figure covers, 0..1.

        Args:
            xs: [W] pixel centres, px.
            ys: [H] pixel centres, px.
        Returns:
            [H, W] float64, with an edge one pixel wide.
        """
        (a, b), (cosine, sine) = self.half_axes, self.rotation
        dx, dy = (xs - self.center[0])[None, :], (ys - self.center[1])[:, None]
        u = (cosine * dx + sine * dy) / a
        v = (cosine * dy - sine * dx) / b
        return np.clip(0.5 - _distance(self.kind, u, v) * min(a, b), 0, 1)


def rational_rotation(numerator: int, denominator: int) -> tuple[float, float]:
    """(cosine, sine) of the angle 2 atan(numerator / denominator), without a trigonometric function."""
    t = numerator / denominator
    return (1 - t * t) / (1 + t * t), 2 * t / (1 + t * t)


def _distance(kind: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    # Signed distance to the outline of the figure of radius one, negative inside.
    if kind in ("disc", "ring"):
        radius = np.sqrt(u * u + v * v)
        return radius - 1 if kind == "disc" else np.maximum(radius - 1, RING_HOLE - radius)
    across = np.abs(u)
    if kind == "triangle":
        return np.maximum(ROOT_THREE_QUARTERS * across + 0.5 * v, -v) - 0.5
    along = np.abs(v)
    if kind == "square":
        return np.maximum(across, along) - ROOT_HALF
    return np.maximum(np.maximum(across, along) - 1, np.minimum(across, along) - CROSS_WIDTH)


@lru_cache(maxsize=256)
def binomial_kernel(order: int) -> np.ndarray:
    """[2 r + 1] whole numbers close to a Gaussian of variance order / 2, summing to about `KERNEL_TOTAL`."""
    scale = 4**order
    row = [
        (math.comb(2 * order, index) * KERNEL_TOTAL + scale // 2) // scale for index in range(2 * order + 1)
    ]
    kernel = np.array([weight for weight in row if weight > 0], np.float64)
    kernel.flags.writeable = False
    return kernel


def blur(mask: np.ndarray, order: int) -> np.ndarray:
    """Gaussian blur of a mask [H, W] in 0..1, with variance order / 2 px squared; zero outside of it."""
    kernel = binomial_kernel(order)
    levels = np.floor(mask * 255 + 0.5)
    sums = cv2.sepFilter2D(levels, cv2.CV_64F, kernel, kernel, borderType=cv2.BORDER_CONSTANT)
    return sums / (255 * kernel.sum() ** 2)


def cloud(rng: np.random.Generator, height: int, width: int, cells: int, amplitude: int) -> np.ndarray:
    """[H, W, 3] smooth coloured noise in -amplitude..amplitude, from a grid of cells x cells values."""
    grid = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
    smooth = cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR_EXACT)
    return (smooth - 127.5) * (amplitude / 127.5)


def stripes(xs: np.ndarray, ys: np.ndarray, direction: tuple[int, int], period: int) -> np.ndarray:
    """[H, W] zeros and ones in stripes across `direction`, `period` steps wide; works on pixel indices."""
    steps = xs.astype(np.int64)[None, :] * direction[0] + ys.astype(np.int64)[:, None] * direction[1]
    return (steps // period) & 1
