"""Outlines of ships, vehicles and piers seen from above, for drawn images of rotated objects.

As in `shapes.py` only exact arithmetic makes pixels. An object is a convex outline in the frame of its own
box: u from -1 (stern, rear) to 1 (bow, front) along the length, v from -1 to 1 across.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

KINDS = ("ship", "large-vehicle", "small-vehicle", "pier")

_HULL = ((-1.0, -0.8), (-0.9, -1.0), (0.35, -1.0), (1.0, 0.0), (0.35, 1.0), (-0.9, 1.0), (-1.0, 0.8))
_BODY = (
    (-1.0, -0.9),
    (-0.94, -1.0),
    (0.94, -1.0),
    (1.0, -0.9),
    (1.0, 0.9),
    (0.94, 1.0),
    (-0.94, 1.0),
    (-1.0, 0.9),
)
_SLAB = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))
OUTLINES = {"ship": _HULL, "large-vehicle": _BODY, "small-vehicle": _BODY, "pier": _SLAB}

# Length in px of an image with a short side of 128 px, and width as a share of the length: (least, most).
LENGTHS = {"ship": (18, 52), "large-vehicle": (16, 28), "small-vehicle": (9, 15), "pier": (44, 96)}
WIDTHS = {
    "ship": (0.18, 0.3),
    "large-vehicle": (0.25, 0.36),
    "small-vehicle": (0.42, 0.55),
    "pier": (0.07, 0.14),
}

# Parts inside an object as rectangles (u1, u2, half height in v): what tells bow from stern.
PARTS = {
    "ship": ((-0.75, -0.35, 0.6), (-0.1, 0.25, 0.45)),
    "large-vehicle": ((0.62, 0.92, 0.8),),
    "small-vehicle": ((0.15, 0.42, 0.75), (-0.8, -0.55, 0.7)),
    "pier": (),
}


@dataclass(frozen=True)
class AerialObject:
    """One object: kind, centre and half edges (along, across) in px, heading as (cosine, sine)."""

    kind: str
    center: tuple[float, float]
    half_axes: tuple[float, float]
    heading: tuple[float, float]

    def rbox(self) -> tuple[float, float, float, float, float]:
        """Centre, length, width in px and angle in radians, clockwise on the screen; the bow points along it.

        Annotations count pixel centres, drawing counts pixel edges: half a pixel lies between the two.
        """
        x, y = self.center
        return x - 0.5, y - 0.5, 2 * self.half_axes[0], 2 * self.half_axes[1], math.atan2(*self.heading[::-1])

    def box(self) -> tuple[float, float, float, float]:
        """Upright box (x1, y1, x2, y2) around the rotated one, px."""
        (x, y), (a, b), (cosine, sine) = self.center, self.half_axes, self.heading
        half_width, half_height = a * abs(cosine) + b * abs(sine), a * abs(sine) + b * abs(cosine)
        return x - half_width, y - half_height, x + half_width, y + half_height

    def to_local(self, xs: np.ndarray, ys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Pixel centres xs [W], ys [H] as px along and across the object, each [H, W]."""
        cosine, sine = self.heading
        dx, dy = (xs - self.center[0])[None, :], (ys - self.center[1])[:, None]
        return cosine * dx + sine * dy, cosine * dy - sine * dx

    def coverage(self, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        """How much of each pixel the object covers, [H, W] in 0..1, with an edge one pixel wide."""
        along, across = self.to_local(xs, ys)
        corners = [(u * self.half_axes[0], v * self.half_axes[1]) for u, v in OUTLINES[self.kind]]
        return np.clip(0.5 - convex_distance(corners, along, across), 0, 1)

    def part_coverages(self, xs: np.ndarray, ys: np.ndarray) -> list[np.ndarray]:
        """The same for each of its parts: cabins, windscreens."""
        along, across = self.to_local(xs, ys)
        a, b = self.half_axes
        return [
            np.clip(
                0.5 - np.maximum(np.maximum(u1 * a - along, along - u2 * a), np.abs(across) - v * b), 0, 1
            )
            for u1, u2, v in PARTS[self.kind]
        ]

    def moved(self, along: float, across: float) -> AerialObject:
        """The same object shifted in its own frame, px."""
        cosine, sine = self.heading
        x, y = self.center
        center = (x + cosine * along - sine * across, y + sine * along + cosine * across)
        return AerialObject(self.kind, center, self.half_axes, self.heading)

    def misjudged(self, rear: float, front: float, left: float, right: float, turn: float) -> AerialObject:
        """The box somebody drew around it.

        Args:
            rear, front: how far the ends are off towards the bow, as shares of the length.
            left, right: how far the sides are off, as shares of the width.
            turn: how far the ends of a side are apart across the object, as a share of the width.
        """
        a, b = self.half_axes
        angle = math.atan2(*self.heading[::-1]) + turn * b / a
        box = self.moved((rear + front) * a, (left + right) * b)
        return replace(
            box,
            half_axes=(a * (1 + front - rear), b * (1 + right - left)),
            heading=(math.cos(angle), math.sin(angle)),
        )


def convex_distance(corners: list[tuple[float, float]], xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Distance to the nearest edge line of a convex polygon, px, negative inside.

    Args:
        corners: clockwise on the screen, px.
        xs, ys: points, any shape, px.
    """
    worst = None
    for (x1, y1), (x2, y2) in zip(corners, [*corners[1:], corners[0]], strict=True):
        length = math.sqrt((x2 - x1) * (x2 - x1) + (y2 - y1) * (y2 - y1))
        normal = (y2 - y1) / length, (x1 - x2) / length
        beyond = (xs - x1) * normal[0] + (ys - y1) * normal[1]
        worst = beyond if worst is None else np.maximum(worst, beyond)
    return worst
