"""Distillation regions over an image: where each term looks, with which weight, on which level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from jld.errors import DataError
from jld.visualization.boxes import box_corners, draw_truth_outline
from jld.visualization.canvas import (
    TRUTH,
    Color,
    as_bgr,
    blank,
    class_color,
    fit_text,
    legend,
    put_text,
    resize_to_fit,
    text_size,
)
from jld.visualization.montage import montage, stack

REGION_COLORS: dict[str, Color] = {
    "main": (43, 57, 230),
    "vlr": (214, 143, 20),
    "inside_gt": (60, 170, 90),
    "fine_grained": (170, 60, 150),
    "gi": (30, 190, 240),
}
# Even a tiny weight must be visible; full weight must let the image shine through.
FAINT, STRONG = 0.30, 0.75


def region_color(name: str) -> Color:
    """The colour (BGR) of a region: fixed for the common ones, else by name."""
    return REGION_COLORS.get(name, class_color(sum(map(ord, name))))


def draw_regions(
    image: np.ndarray,
    weights: Mapping[str, np.ndarray],
    level_sizes: Sequence[tuple[int, int]],
    level_strides: Sequence[int],
    *,
    gt_boxes: np.ndarray | None = None,
    num_per_cell: int = 1,
    center_offset: float = 0.0,
    columns: int = 3,
    panel_size: tuple[int, int] = (320, 480),
) -> np.ndarray:
    """One panel per level and a merged one, with a legend.

    Each cell of the feature map is a square of stride size around its prior's centre, coloured by region;
    the more opaque, the higher the weight relative to the region's largest one. Where regions meet, the
    colours are laid over each other in the given order, so put the small regions last. The merged panel
    shows, for each pixel and region, the largest weight of any level.

    Args:
        image: uint8 [H, W, 3] BGR, as the network saw it (resized, padded or not).
        weights: {region name: [P] weights >= 0}, levels concatenated fine to coarse, y outer, x inner, prior
            innermost; the priors of one cell show their largest weight.
        level_sizes: (height, width) of each level in cells.
        level_strides: px of a cell on each level.
        gt_boxes: [G, 4] xyxy px, or [G, 5], [G, 8]; drawn dashed.
        num_per_cell: priors per cell.
        center_offset: centre of cell 0 in strides; 0 for the anchors of GFL, 0.5 for cell middles.
        columns: panels per row.
        panel_size: (height, width) every panel must fit into, px.
    Returns:
        uint8 BGR.
    Raises:
        DataError: weights that are not one per prior.
    """
    image = as_bgr(image)
    per_level = {
        name: _split_levels(name, values, level_sizes, num_per_cell) for name, values in weights.items()
    }
    panels, titles = _draw_levels(image, per_level, level_strides, center_offset)
    panels = [resize_to_fit(panel, *panel_size) for panel in panels]
    if gt_boxes is not None:
        # After resizing: a line drawn into a small image would be enlarged with it.
        corners = box_corners(gt_boxes) * (np.array(panels[0].shape[1::-1]) / image.shape[1::-1])
        panels = [draw_truth_outline(panel, corners.reshape(-1, 8)) for panel in panels]
    pictures = [_panel(*pair) for pair in zip(panels, titles, strict=True)]
    sheet = montage(pictures, columns=columns, cell_size=pictures[0].shape[:2], gap=10)
    entries = [(name, region_color(name)) for name in weights]
    if gt_boxes is not None:
        entries.append(("ground truth (dashed)", TRUTH))
    return stack([sheet, legend(entries, sheet.shape[1])], gap=0)


def _draw_levels(
    image: np.ndarray,
    per_level: Mapping[str, list[np.ndarray]],
    level_strides: Sequence[int],
    center_offset: float,
) -> tuple[list[np.ndarray], list[str]]:
    """Tinted images and their titles: each level, then all of them together."""
    shape = image.shape[:2]
    peaks = {name: max(level.max(initial=0.0) for level in levels) for name, levels in per_level.items()}
    strongest = {name: np.zeros(shape) for name in per_level}
    panels, titles = [], []
    for level, stride in enumerate(level_strides):
        on_level = {name: levels[level] for name, levels in per_level.items()}
        shares = {
            name: cell_map(cells.max(2), shape, stride, center_offset) / max(peaks[name], 1e-12)
            for name, cells in on_level.items()
        }
        strongest = {name: np.maximum(strongest[name], share) for name, share in shares.items()}
        # A thin edge around each cell keeps single priors apart; on fine levels it would swallow the cell.
        edges = _edges(shape, stride, center_offset) if stride >= 16 else None
        panels.append(_overlay(image, shares, edges))
        titles.append(f"P{stride.bit_length() - 1} / {stride} px: {_describe(on_level)}")
    everything = {
        name: np.concatenate([level.ravel() for level in levels]) for name, levels in per_level.items()
    }
    return [*panels, _overlay(image, strongest, None)], [*titles, f"all levels: {_describe(everything)}"]


def cell_map(cells: np.ndarray, shape: tuple[int, int], stride: int, center_offset: float) -> np.ndarray:
    """Values of a level's cells spread over the pixels that are nearest to their centres.

    Args:
        cells: [h, w] one value per cell.
        shape: (H, W) of the image, px.
        stride: px of a cell.
        center_offset: centre of cell 0 in strides.
    Returns:
        [H, W]; 0 beyond the feature map.
    """
    rows, columns = (_nearest_cell(length, stride, center_offset) for length in shape)
    inside = (rows < cells.shape[0])[:, None] & (columns < cells.shape[1])[None, :]
    spread = cells[
        np.minimum(rows, cells.shape[0] - 1)[:, None], np.minimum(columns, cells.shape[1] - 1)[None, :]
    ]
    return np.where(inside, spread, 0)


def _nearest_cell(length: int, stride: int, center_offset: float) -> np.ndarray:
    # The middle of pixel x lies at x + 0.5; the centre of cell j at (j + offset) * stride.
    return np.maximum(np.floor((np.arange(length) + 0.5) / stride - center_offset + 0.5), 0).astype(np.int64)


def _split_levels(
    name: str, values: np.ndarray, level_sizes: Sequence[tuple[int, int]], num_per_cell: int
) -> list[np.ndarray]:
    """Weights [P] of a region as [h, w, priors of a cell] per level."""
    counts = [height * width * num_per_cell for height, width in level_sizes]
    if np.shape(values) != (sum(counts),):
        raise DataError(
            f"region {name!r} has weights of shape {np.shape(values)}, but there are {sum(counts)} priors."
        )
    parts = np.split(np.asarray(values, np.float64), np.cumsum(counts)[:-1])
    return [part.reshape(*size, num_per_cell) for part, size in zip(parts, level_sizes, strict=True)]


def _overlay(image: np.ndarray, shares: Mapping[str, np.ndarray], edges: np.ndarray | None) -> np.ndarray:
    """Tints pixels by shares [H, W] in 0..1 of each region; pixels in edges [H, W] get half the tint."""
    canvas = image.astype(np.float32)
    for name, share in shares.items():
        alpha = np.where(share > 0, FAINT + (STRONG - FAINT) * share, 0.0).astype(np.float32)
        if edges is not None:
            alpha = np.where(edges, 0.5 * alpha, alpha)
        canvas += alpha[..., None] * (np.float32(region_color(name)) - canvas)
    return np.round(canvas).astype(np.uint8)


def _edges(shape: tuple[int, int], stride: int, center_offset: float) -> np.ndarray:
    rows, columns = (
        np.diff(_nearest_cell(length, stride, center_offset), append=-1) != 0 for length in shape
    )
    return rows[:, None] | columns[None, :]


def _describe(weights: Mapping[str, np.ndarray]) -> str:
    """How many priors each region holds, and the sum of their weights where they are not all 1."""
    texts = []
    for name, values in weights.items():
        count, total = np.count_nonzero(values), np.sum(values)
        texts.append(f"{name} {count}" + ("" if total == count else f" (sum {total:.3g})"))
    return ", ".join(texts)


def _panel(image: np.ndarray, title: str) -> np.ndarray:
    picture = cv2.copyMakeBorder(image, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(200, 200, 200))
    scale = 0.42
    bar = blank(text_size("g", scale)[1] + 12, picture.shape[1])
    put_text(bar, fit_text(title, bar.shape[1] - 4, scale), (2, 4), scale=scale)
    return np.concatenate([bar, picture], axis=0)
