"""Edge distributions of teacher and student beside the box they describe: what LD transfers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from jld.errors import DataError
from jld.visualization.canvas import as_bgr
from jld.visualization.figures import LINE_COLORS, TRUTH_HEX, figure_to_bgr, make_figure, style_axes

SIDES = ("left", "top", "right", "bottom")
# A share of probability whose bar nobody sees.
INVISIBLE = 0.005


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities over the last axis after dividing by a temperature."""
    scaled = np.asarray(logits, np.float64) / temperature
    powers = np.exp(scaled - scaled.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def expected_distances(logits: np.ndarray) -> np.ndarray:
    """The distance an edge distribution stands for: its mean over the bins 0, 1, ..., B - 1.

    Args:
        logits: [..., B] before softmax.
    Returns:
        [...] in strides.
    """
    return softmax(logits) @ np.arange(np.shape(logits)[-1])


def draw_edge_distributions(
    image: np.ndarray,
    centers: np.ndarray,
    strides: np.ndarray,
    logits: Mapping[str, np.ndarray],
    *,
    gt_boxes: np.ndarray | None = None,
    temperature: float = 1.0,
    titles: Sequence[str] | None = None,
) -> np.ndarray:
    """One row per prior: the image crop with the decoded boxes, then the four edges' distributions as bars.

    A dashed vertical line marks a distribution's expectation (at temperature 1, which is what decodes the
    box), a solid green one where the ground truth has its edge.

    Args:
        image: uint8 [H, W, 3] BGR.
        centers: [K, 2] x, y of the priors, px.
        strides: [K] px.
        logits: {network name: [K, 4, B]} before softmax; sides left, top, right, bottom.
        gt_boxes: [K, 4] xyxy px, the ground truth of each prior; None: unknown.
        temperature: > 0; softens the bars as the distillation term does.
        titles: a title for each row.
    Returns:
        uint8 BGR.
    Raises:
        DataError: no prior, or arrays that do not describe K priors with four sides.
    """
    centers, strides = (
        np.asarray(centers, np.float64).reshape(-1, 2),
        np.asarray(strides, np.float64).reshape(-1),
    )
    logits = {name: np.asarray(values, np.float64) for name, values in logits.items()}
    _check(centers, strides, logits, gt_boxes)
    count = len(centers)
    figure = make_figure(15, 2.9 * count)
    axes = figure.subplots(count, 5, squeeze=False, width_ratios=[1.35, 1, 1, 1, 1])
    picture = as_bgr(image)[..., ::-1]
    colors = dict(zip(logits, LINE_COLORS, strict=False))
    last = _last_bin(logits, temperature)
    for index in range(count):
        center, stride = centers[index], strides[index]
        box = None if gt_boxes is None else np.asarray(gt_boxes, np.float64)[index]
        rows = {name: values[index] for name, values in logits.items()}
        _draw_crop(axes[index, 0], picture, center, stride, rows, box, colors)
        if titles is not None:
            axes[index, 0].set_title(titles[index], fontsize=9)
        for side in range(4):
            target = None if box is None else box_distances(center, stride, box)[side]
            sides = {name: values[side] for name, values in rows.items()}
            _draw_side(axes[index, side + 1], SIDES[side], sides, target, temperature, colors)
            axes[index, side + 1].set_xlim(-0.7, last + 0.7)
    handles, names = axes[0, 1].get_legend_handles_labels()
    handles.append(Line2D([], [], color="#555555", linestyle="--", linewidth=1.4))
    names.append("expectation")
    figure.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=9)
    return figure_to_bgr(figure)


def box_distances(center: np.ndarray, stride: float, box: np.ndarray) -> np.ndarray:
    """Distances of a point to the four edges of a box.

    Args:
        center: x, y px; stride: px; box: xyxy px.
    Returns:
        [4] left, top, right, bottom, in strides; negative where the point lies outside.
    """
    return np.concatenate([center - box[:2], box[2:] - center]) / stride


def _check(centers: np.ndarray, strides: np.ndarray, logits: Mapping[str, np.ndarray], gt_boxes: Any) -> None:
    count = len(centers)
    if count == 0 or not logits:
        raise DataError("edge distributions need at least one prior and one network.")
    for name, values in logits.items():
        if values.ndim != 3 or values.shape[:2] != (count, 4):
            raise DataError(f"the logits of {name!r} have shape {values.shape}; expected [{count}, 4, bins].")
    if len(strides) != count or (gt_boxes is not None and np.shape(gt_boxes) != (count, 4)):
        raise DataError(
            f"{count} centres come with {len(strides)} strides and boxes of shape {np.shape(gt_boxes)}."
        )


def _last_bin(logits: Mapping[str, np.ndarray], temperature: float) -> int:
    """The last bin of which any distribution holds a visible share: empty bins beyond it are not drawn."""
    visible = np.concatenate(
        [softmax(values, temperature).reshape(-1, values.shape[-1]) for values in logits.values()]
    )
    return int(np.flatnonzero(visible.max(0) > INVISIBLE).max())


def _decode(center: np.ndarray, stride: float, logits: np.ndarray) -> np.ndarray:
    distances = expected_distances(logits) * stride  # [4] px
    return np.concatenate([center - distances[:2], center + distances[2:]])


def _draw_crop(
    axis: Any,
    picture: np.ndarray,
    center: np.ndarray,
    stride: float,
    rows: Mapping[str, np.ndarray],
    gt_box: np.ndarray | None,
    colors: Mapping[str, str],
) -> None:
    boxes = {name: _decode(center, stride, values) for name, values in rows.items()}
    shown = [(box, colors[name], "-", 1.6) for name, box in boxes.items()]
    if gt_box is not None:
        shown.insert(0, (gt_box, TRUTH_HEX, "-", 2.2))
    corners = np.stack([box for box, *_ in shown])
    low, high = corners[:, :2].min(0), corners[:, 2:].max(0)
    margin = 0.2 * (high - low).max() + 4
    height, width = picture.shape[:2]
    left, top = np.maximum(low - margin, 0)
    right, bottom = np.minimum(high + margin, (width, height))
    axis.imshow(picture, extent=(0, width, height, 0), interpolation="nearest")
    for box, color, style, line_width in shown:
        xs, ys = box[[0, 2, 2, 0, 0]], box[[1, 1, 3, 3, 1]]
        axis.plot(xs, ys, style, color="white", linewidth=line_width + 1.4)
        axis.plot(xs, ys, style, color=color, linewidth=line_width)
    axis.plot(*center, "o", color="white", markeredgecolor="black", markersize=5)
    axis.set(xlim=(left, max(right, left + 1)), ylim=(max(bottom, top + 1), top), xticks=[], yticks=[])


def _draw_side(
    axis: Any,
    side: str,
    logits_by_name: Mapping[str, np.ndarray],
    target: float | None,
    temperature: float,
    colors: Mapping[str, str],
) -> None:
    bins = len(next(iter(logits_by_name.values())))
    bar_width = 0.84 / len(logits_by_name)
    for rank, (name, logits) in enumerate(logits_by_name.items()):
        places = np.arange(bins) + (rank - (len(logits_by_name) - 1) / 2) * bar_width
        axis.bar(
            places, softmax(logits, temperature), width=bar_width, color=colors[name], alpha=0.8, label=name
        )
        axis.axvline(float(expected_distances(logits)), color=colors[name], linestyle="--", linewidth=1.4)
    if target is not None:
        axis.axvline(target, color=TRUTH_HEX, linewidth=1.8, label="ground truth")
    style_axes(axis)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    title = side if temperature == 1 else f"{side} (T = {temperature:g})"
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("distance / stride", fontsize=8)
