"""Lines and name tags over an image: painted into its pixels, or as lines and text of a figure (pdf, svg)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from jld.visualization.canvas import (
    EM_PX,
    PAPER,
    Color,
    as_bgr,
    blank,
    contrast_color,
    put_text,
    text_size,
    write_image,
)
from jld.visualization.figures import use_fonts, write_figure

PX = 0.72
"""Points of a figure at 100 px per inch."""
PIXELS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


@dataclass(frozen=True, eq=False)
class Line:
    """A line through points.

    Attributes:
        points: [n, 2] x, y px.
        color: BGR.
        thickness: px.
        is_closed: back to the first point.
        dash: length of dashes and gaps in px; 0 is solid.
    """

    points: np.ndarray
    color: Color
    thickness: int
    is_closed: bool = True
    dash: float = 0.0


@dataclass(frozen=True)
class Tag:
    """A text on a filled rectangle.

    Attributes:
        box: left, top, width, height in px.
        text: one line.
        color: BGR of the rectangle; the text is light or dark, whichever reads better.
        scale: of the text, see `canvas.put_text`.
    """

    box: tuple[int, int, int, int]
    text: str
    color: Color
    scale: float


Mark = Line | Tag


def paint(image: np.ndarray, marks: Sequence[Mark]) -> np.ndarray:
    """A copy of an image uint8 [H, W, 3] BGR with the marks in it, later ones on top."""
    canvas = as_bgr(image)
    for mark in marks:
        if isinstance(mark, Tag):
            x, y, width, height = mark.box
            cv2.rectangle(canvas, (x, y), (x + width - 1, y + height - 1), mark.color, -1)
            put_text(canvas, mark.text, (x + 3, y + 3), scale=mark.scale, color=contrast_color(mark.color))
        else:
            _paint_line(canvas, mark)
    return canvas


def marks_figure(image: np.ndarray, marks: Sequence[Mark]) -> Figure:
    """A figure of the size of the image at 100 px per inch, with nothing around it.

    Args:
        image: uint8 [H, W, 3] BGR; it stays pixels, the marks do not become any.
    """
    height, width = image.shape[:2]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    axis.imshow(as_bgr(image)[..., ::-1], extent=(0, width, height, 0), interpolation="nearest")
    for order, mark in enumerate(marks, 1):
        color = _rgb(mark.color)
        if isinstance(mark, Line):
            dashes = (0, (mark.dash / mark.thickness,) * 2) if mark.dash else "solid"
            axis.add_patch(
                Polygon(
                    mark.points + 0.5, closed=mark.is_closed, fill=False, edgecolor=color, zorder=order,
                    linewidth=mark.thickness * PX, linestyle=dashes, joinstyle="miter",
                )
            )  # fmt: skip
            continue
        x, y, tag_width, tag_height = mark.box
        axis.add_patch(Rectangle((x, y), tag_width, tag_height, color=color, linewidth=0, zorder=order))
        ink = _rgb(contrast_color(mark.color))
        size = EM_PX * mark.scale * PX
        axis.text(
            x + 3, y + tag_height / 2, mark.text, color=ink, fontsize=size, va="center_baseline",
            zorder=order, parse_math=False,
        )  # fmt: skip
    axis.set_xlim(0, width)
    axis.set_ylim(height, 0)
    return use_fonts(figure)


def beside(
    panels: Sequence[tuple[np.ndarray, Sequence[Mark]]], *, gap: int = 0
) -> tuple[np.ndarray, list[Mark]]:
    """Images of one height with their marks, next to each other as one image with marks.

    Args:
        panels: (uint8 [H, W, 3] BGR, marks) at least one.
        gap: px of white between them.
    """
    images: list[np.ndarray] = []
    marks: list[Mark] = []
    left = 0
    for image, own in panels:
        if images and gap:
            images.append(blank(image.shape[0], gap))
            left += gap
        images.append(as_bgr(image))
        marks += [_moved(mark, left) for mark in own]
        left += image.shape[1]
    return np.concatenate(images, axis=1), marks


def titled(image: np.ndarray, marks: Sequence[Mark], title: str) -> tuple[np.ndarray, list[Mark]]:
    """The image with its marks below a line of text; without a title as it is."""
    if not title:
        return image, list(marks)
    scale = max(0.35, max(image.shape[:2]) / 1200)
    width = text_size(title, scale)[0]
    bar = round(1.5 * EM_PX * scale)  # whatever the letters: panels are to fit beside each other
    head = Tag((0, 0, width + 6, bar - 2), title, PAPER, scale)
    return np.concatenate([blank(bar, image.shape[1]), as_bgr(image)]), [
        head,
        *(_moved(mark, 0, bar) for mark in marks),
    ]


def _moved(mark: Mark, right: int, down: int = 0) -> Mark:
    if isinstance(mark, Line):
        return replace(mark, points=mark.points + np.array([right, down]))
    x, y, width, height = mark.box
    return replace(mark, box=(x + right, y + down, width, height))


def write_marks(path: str | Path, image: np.ndarray, marks: Sequence[Mark], *, dpi: float = 200) -> Path:
    """Writes an image with marks in the format of the suffix; returns the path.

    Args:
        dpi: of the picture inside pdf, svg, eps; formats of pixels keep those of the image.
    Raises:
        DataError: no such format.
    """
    path = Path(path)
    if path.suffix.lower() in PIXELS:
        return write_image(path, paint(image, marks))
    return write_figure(path, marks_figure(image, marks), dpi)


def _rgb(color: Color) -> tuple[float, ...]:
    return tuple(channel / 255 for channel in reversed(color))


def _paint_line(canvas: np.ndarray, line: Line) -> None:
    polygon = _pixels(line.points)
    # Smoothing would only blur the edges of an upright box.
    is_upright = (np.diff(polygon, axis=0) == 0).any(1).all()
    line_type = cv2.LINE_8 if is_upright else cv2.LINE_AA
    if not line.dash:
        cv2.polylines(canvas, [polygon], line.is_closed, line.color, line.thickness, line_type)
        return
    for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        steps = max(1, int(np.hypot(*(end - start)) / line.dash))
        knots = start + (end - start) * np.linspace(0, 1, 2 * steps)[:, None]
        dashes = list(_pixels(knots).reshape(-1, 2, 2))
        cv2.polylines(canvas, dashes, False, line.color, line.thickness, line_type)


def _pixels(points: np.ndarray) -> np.ndarray:
    # Far outside values overflow OpenCV's 32-bit coordinates.
    return np.clip(np.round(points), -30000, 30000).astype(np.int32)
