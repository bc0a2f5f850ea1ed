"""The picture of the angle conventions in docs/rotated.md.

Printed by `python -m jld.visualization.angles docs/images/angles.svg`; the boxes are made by the functions
that training uses.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jld.boxes.rotated import polys_to_rboxes, shapes_to_polys
from jld.visualization.figures import LINE_COLORS, make_figure, write_figure

RANGES = {"oc": "(0, 90°]", "le90": "[−90°, 90°)", "le135": "[−45°, 135°)"}
SHAPES = (np.radians(30), np.radians(120))
"""Directions of the long edges of the two boxes that every panel describes."""


def angle_figure() -> Figure:
    """Two boxes in each of the three conventions: which edge is the width, and what its angle is."""
    figure = make_figure(10.5, 6.4)
    axes = figure.subplots(2, 3)
    for row, direction in zip(axes, SHAPES, strict=True):
        corners = shapes_to_polys(np.array([[0, 0, 4, 2, direction]])).reshape(1, 8)
        for axis, version in zip(row, RANGES, strict=True):
            _draw(axis, polys_to_rboxes(corners, version)[0], version)
    return figure


def _draw(axis: Any, box: np.ndarray, version: str) -> None:
    _, _, width, height, angle = box
    corners = shapes_to_polys(box[None]).reshape(4, 2)
    along, across = (np.array([np.cos(turn), np.sin(turn)]) for turn in (angle, angle + np.pi / 2))
    axis.plot(*np.concatenate([corners, corners[:1]]).T, color="#444444", linewidth=1.5)
    axis.plot(*np.stack([[0, 0], [2.6, 0]]).T, color="#999999", linewidth=0.8, linestyle="--")
    arrow = {"arrowstyle": "->", "linewidth": 1.8}
    for name, edge, size, color in (
        ("width", along, width, LINE_COLORS[0]),
        ("height", across, height, LINE_COLORS[1]),
    ):
        end = edge * size / 2
        axis.annotate("", xy=end, xytext=(0, 0), arrowprops={**arrow, "color": color})
        x, y = end + 0.45 * edge
        axis.text(x, y, f"{name} {size:.0f}", color=color, fontsize=8, ha="center", va="center")
    turn = np.linspace(0, angle, 40)
    axis.plot(1.1 * np.cos(turn), 1.1 * np.sin(turn), color=LINE_COLORS[2], linewidth=1.5)
    axis.set_title(f"{version}: angle {np.degrees(angle):.0f}°, in {RANGES[version]}", fontsize=9)
    axis.set_aspect("equal")
    axis.set_xlim(-3.2, 3.2)
    axis.set_ylim(3.2, -3.2)  # y grows downwards, as on the screen: positive angles turn clockwise
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlabel("x →   (y ↓)", fontsize=7, color="#777777")


if __name__ == "__main__":
    print(write_figure(sys.argv[1], angle_figure()))
