"""A page of tables, texts and pictures as one HTML file that asks the network for nothing.

Whatever comes from data or configs is escaped; pictures are inside as data addresses, so that nothing in them
can act, and the page forbids itself scripts.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure

from jld.checkpoint import atomic_write
from jld.errors import visible
from jld.utils.extras import require
from jld.visualization.canvas import resize_to_fit
from jld.visualization.figures import figure_bytes


@dataclass(frozen=True)
class Note:
    """A sentence."""

    text: str
    kind = "note"


@dataclass(frozen=True)
class Text:
    """Text with a fixed pitch, such as a table of `jld.evaluation.tables`; long ones are folded."""

    text: str
    title: str = ""
    is_long: bool = False
    kind = "text"


@dataclass(frozen=True)
class Table:
    """Rows of cells."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    kind = "table"


@dataclass(frozen=True)
class Picture:
    """A picture with its `data:` address."""

    address: str
    caption: str
    kind = "picture"


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    title: str
    blocks: Sequence[Note | Text | Table | Picture]


def photo(image: np.ndarray, caption: str, side: int = 520) -> Picture:
    """An image uint8 [H, W, 3] BGR as a small JPEG.

    Args:
        side: px that neither its height nor its width exceeds.
    """
    small = resize_to_fit(image, side, side) if max(image.shape[:2]) > side else image
    _, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 82])
    return Picture(_address("image/jpeg", data.tobytes()), caption)


def drawing(figure: Figure, caption: str = "") -> Picture:
    """A figure as SVG."""
    return Picture(_address("image/svg+xml", figure_bytes(figure, ".svg")), caption)


def render(title: str, sections: Sequence[Section]) -> str:
    """The page.

    Raises:
        ConfigError: Jinja2 is not installed.
    """
    jinja2 = require("jinja2", "analysis")
    source = resources.files("jld.visualization").joinpath("report.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, finalize=_visible)
    return environment.from_string(source).render(title=title, sections=sections)


def write_report(path: str | Path, title: str, sections: Sequence[Section]) -> Path:
    """`render` as a file, written whole or not at all; returns the path."""
    path, page = Path(path), render(title, sections)
    atomic_write(path, lambda file: file.write(page.encode("utf-8", "xmlcharrefreplace")))
    return path


def _visible(value: object) -> object:
    # Marked-up strings are Jinja's own; names are not, and may hold characters that turn the text around.
    return visible(value) if type(value) is str else value


def _address(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
