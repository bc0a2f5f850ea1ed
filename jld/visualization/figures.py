"""matplotlib without a display and without global state: one look for all plots, and a figure as an array."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from jld.checkpoint import atomic_write
from jld.errors import DataError, suggestion
from jld.visualization.fonts import families

# Distinguishable with every common colour vision (Okabe and Ito), in an order of strong contrast.
LINE_COLORS = ("#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9", "#6a3d9a", "#7f7f7f", "#000000")
TRUTH_HEX = "#4caf50"


def figure_to_bgr(figure: Figure) -> np.ndarray:
    """Renders a figure: uint8 [H, W, 3] BGR."""
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")
        canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 2::-1].copy()


def figure_bytes(figure: Figure, suffix: str, dpi: float = 200) -> bytes:
    """A figure as a file of the format of a suffix: lines and text stay lines and text in pdf and svg.

    Args:
        suffix: such as ".pdf", ".svg" or ".png".
        dpi: pixels per inch of formats made of pixels, and of pictures inside the others.
    Raises:
        DataError: matplotlib knows no such format.
    """
    known = figure.canvas.get_supported_filetypes()
    if suffix.removeprefix(".") not in known:
        raise DataError(f"no figure can be a {suffix!r} file: {suggestion(suffix.removeprefix('.'), known)}")
    data = io.BytesIO()
    metadata = {"Date": None} if suffix == ".svg" else {"CreationDate": None} if suffix == ".pdf" else None
    # Text that can be searched and edited; TrueType in pdf, which publishers ask for; equal files each time.
    with (
        warnings.catch_warnings(),
        rc_context({"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "jld"}),
    ):
        # Said before in a sentence with a cure, see `jld.visualization.fonts`.
        warnings.filterwarnings("ignore", "Glyph .* missing")
        figure.savefig(data, format=suffix.removeprefix("."), dpi=dpi, metadata=metadata)
    return data.getvalue()


def write_figure(path: str | Path, figure: Figure, dpi: float = 200) -> Path:
    """`figure_bytes` as a file; a reader sees the old one or the whole new one. Returns the path."""
    path = Path(path)
    data = figure_bytes(figure, path.suffix.lower(), dpi)
    atomic_write(path, lambda file: file.write(data))
    return path


def use_fonts(figure: Figure) -> Figure:
    """The figure with fonts for all of its text, whatever the script; see `jld.visualization.fonts`."""
    for text in figure.findobj(lambda artist: hasattr(artist, "get_text") and hasattr(artist, "set_family")):
        text.set_family(families(text.get_text()))
    return figure


def make_figure(width: float, height: float) -> Figure:
    """An empty figure of width x height inches at 100 px each, which spaces its panels itself."""
    figure = Figure(figsize=(width, height), dpi=100, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)
    return figure


def style_axes(axis: Any) -> None:
    """A light grid, no box, small ticks."""
    axis.grid(True, color="#e6e6e6", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(labelsize=8, color="#999999")
    for name, spine in axis.spines.items():
        spine.set_visible(name in ("left", "bottom"))
        spine.set_color("#999999")
