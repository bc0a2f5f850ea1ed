"""matplotlib without a display and without global state: one look for all plots, and a figure as an array."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Distinguishable with every common colour vision (Okabe and Ito), in an order of strong contrast.
LINE_COLORS = ("#0072b2", "#d55e00", "#cc79a7", "#e69f00", "#56b4e9", "#6a3d9a", "#7f7f7f", "#000000")
TRUTH_HEX = "#4caf50"


def figure_to_bgr(figure: Figure) -> np.ndarray:
    """Renders a figure: uint8 [H, W, 3] BGR."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 2::-1].copy()


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
