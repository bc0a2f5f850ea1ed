"""A picture of what a dataset's labels look like: classes, sizes, shapes, objects per image, angles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jld.visualization.figures import LINE_COLORS, make_figure, style_axes, use_fonts

MOST_CLASSES = 40
COCO_SIDES_PX = (32, 96)
TICKS = [digit * 10.0**power for power in range(-3, 6) for digit in (1, 2, 5)]


def draw_label_statistics(
    classes: Sequence[str],
    labels: np.ndarray,
    sides: np.ndarray,
    objects_per_image: np.ndarray,
    angles: np.ndarray | None = None,
) -> Figure:
    """Bars of the classes and histograms, as a figure for `write_figure`.

    Args:
        classes: names; the most frequent `MOST_CLASSES` are shown.
        labels: [T] 0-based.
        sides: [T, 2] px, width and height, or the longer and the shorter one.
        objects_per_image: [M].
        angles: [T] degrees in [-90, 90), of rotated boxes.
    """
    figure = make_figure(12, 7)
    axes = figure.subplots(2, 3).ravel()
    _draw_classes(axes[0], classes, labels)
    root = np.sqrt(np.maximum(sides.prod(axis=1), 1))
    _histogram(axes[1], root, "square root of the area, px (dashed: COCO's sizes)", is_log=True)
    for side in COCO_SIDES_PX:
        axes[1].axvline(side, color=LINE_COLORS[-1], linewidth=0.8, linestyle="--")
    title = "width / height" if angles is None else "longer / shorter side"
    _histogram(axes[2], sides[:, 0] / np.maximum(sides[:, 1], 1e-9), title, is_log=True)
    _histogram(axes[3], objects_per_image, "objects per image")
    axes[4].scatter(sides[:, 0], sides[:, 1], s=4, alpha=0.3, color=LINE_COLORS[0], linewidths=0)
    names = ("width, px", "height, px") if angles is None else ("longer side, px", "shorter side, px")
    axes[4].set_xlabel(names[0], fontsize=8)
    axes[4].set_ylabel(names[1], fontsize=8)
    style_axes(axes[4])
    if angles is None:
        axes[5].set_visible(False)
    else:
        _histogram(axes[5], angles, "angle of the longer side, degrees clockwise", bins=np.arange(-90, 91, 5))
    return use_fonts(figure)


def _draw_classes(axis: Axes, classes: Sequence[str], labels: np.ndarray) -> None:
    counts = np.bincount(labels, minlength=len(classes))
    chosen = np.argsort(-counts, kind="stable")[:MOST_CLASSES]
    axis.barh(np.arange(len(chosen)), counts[chosen], color=LINE_COLORS[0])
    axis.set_yticks(np.arange(len(chosen)), [classes[label] for label in chosen])
    axis.invert_yaxis()
    left_out = len(classes) - len(chosen)
    axis.set_xlabel("objects" + (f" ({left_out} rarer classes not shown)" if left_out else ""), fontsize=8)
    style_axes(axis)


def _histogram(
    axis: Axes, values: np.ndarray, title: str, *, is_log: bool = False, bins: np.ndarray | None = None
) -> None:
    if bins is None and len(values):
        low, high = float(values.min()), float(values.max())
        edges = np.geomspace(low, max(high, low * 1.01), 31) if is_log else np.linspace(0, high + 1, 31)
        bins = edges if is_log or high > 30 else np.arange(int(high) + 2) - 0.5
    axis.hist(values, bins=None if bins is None else bins.tolist(), color=LINE_COLORS[0])
    if is_log and len(values):
        axis.set_xscale("log")
        ticks = [tick for tick in TICKS if low <= tick <= high]
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
    axis.set_xlabel(title, fontsize=8)
    style_axes(axis)
