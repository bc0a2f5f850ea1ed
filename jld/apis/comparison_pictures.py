"""The pictures of a comparison: curves of all runs and what each finds, enlarged, with IoU; bars of gains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.rotated import shapes_to_polys
from jld.boxes.rotated.polygon_iou import pairwise_poly_iou
from jld.data import Dataset
from jld.evaluation.significance import Gain
from jld.visualization import boxes, curves, figures, montage

PANELS = ("eval/AP", "eval/AP75", "loss_bbox", "loss_cls")
EXAMPLES = 5
ON_OBJECT = 0.3
DRAWN_SIDE = 384
CELL_HEIGHT = 345
THICKNESS = 3
"""Of a detection's lines, so that they are seen beside the dashes of the ground truth."""


def draw_comparison(
    folders: Mapping[str, Path], dataset: Dataset, found: Mapping[str, Sequence[Detections]]
) -> np.ndarray:
    """Curves of all runs above example images: ground truth, then what every run says of each object.

    The examples are the first images with several objects. Of every object the best scored detection of its
    class that lies on it is drawn (an IoU of `ON_OBJECT` or more) beside the dashed true box; the caption
    gives their IoU, "-" where there is none. Wrong detections are not drawn: the table counts them.

    Args:
        folders: {name: work folder, with log.jsonl}.
        dataset: what the detections were found in.
        found: {name: detections per image}.
    Returns:
        uint8 [H, W, 3] BGR.
    """
    logs = {name: curves.read_log(folder / "log.jsonl") for name, folder in folders.items()}
    panels = [key for key in PANELS if any(key in record for log in logs.values() for record in log)]
    above = curves.draw_curves(logs, panels, columns=len(panels))
    return montage.stack([above, _draw_examples(dataset, found)])


def draw_gains(
    panels: Mapping[str, Mapping[str, Mapping[str, Gain]]], file: str | Path, axis_name: str, columns: int = 1
) -> Path:
    """Draws gains as bars with their intervals.

    Args:
        panels: {title: {label: {kind of run: its gain}}}; the bars of a label stand together, and colours
            tell kinds of runs apart where there are several.
        file: to write.
        axis_name: what of there is a gain, such as "gain in AP".
        columns: of panels.
    Returns:
        the file.
    """
    num_rows = -(-len(panels) // columns)
    most = max(sum(map(len, bars.values())) for bars in panels.values())
    figure = figures.make_figure(4.5 * columns + 2.0 * (columns == 1), num_rows * (0.7 + 0.42 * most))
    axes = list(figure.subplots(num_rows, columns, squeeze=False).flat)
    for axis, (title, bars) in zip(axes, panels.items(), strict=False):
        figures.style_axes(axis)
        axis.set_title(title, fontsize=9)
        _draw_bars(axis, bars)
    for axis in axes[len(panels) :]:
        axis.set_axis_off()
    figure.supxlabel(f"{axis_name}, with its interval", fontsize=9)
    return figures.write_figure(file, figures.use_fonts(figure), dpi=100)


def _draw_bars(axis: Any, bars: Mapping[str, Mapping[str, Gain]]) -> None:
    kinds = list(dict.fromkeys(kind for own in bars.values() for kind in own))
    rows = np.arange(len(bars))[::-1]
    for rank, kind in enumerate(kinds):
        is_there = [kind in own for own in bars.values()]
        gains = [own[kind] for own in bars.values() if kind in own]
        mean, low, high = (
            100 * np.array([getattr(gain, end) for gain in gains]) for end in ("mean", "low", "high")
        )
        places = rows[is_there] + ((len(kinds) - 1) / 2 - rank) * 0.8 / len(kinds)
        # The mean of all images may lie outside of what draws of few of them give.
        ends = np.maximum([mean - low, high - mean], 0)
        color = figures.LINE_COLORS[rank % len(figures.LINE_COLORS)]
        axis.barh(places, mean, 0.7 / len(kinds), xerr=ends, capsize=3, color=color, label=kind)
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_yticks(rows, list(bars), fontsize=8)
    if len(kinds) > 1:
        axis.legend(fontsize=8)


def _draw_examples(dataset: Dataset, found: Mapping[str, Sequence[Detections]]) -> np.ndarray:
    truths = dataset.ground_truth()
    chosen = [index for index, truth in enumerate(truths) if len(truth["boxes"]) > 1][:EXAMPLES]
    by_image = {name: {each.img_id: each for each in detections} for name, detections in found.items()}
    cells, captions = [], []
    for name in ("ground truth", *by_image):
        for index in chosen:
            truth = truths[index]
            image, zoom = _enlarged(dataset.read_image(index))
            corners = shapes_to_polys(truth.get("polys", truth["boxes"]))
            polys, labels, said = corners, truth["labels"], name
            if name in by_image:
                polys, labels, iou = _on_objects(by_image[name][truth["img_id"]], corners, labels)
                said = f"{name}: {' '.join(f'{value:.2f}' if value else '-' for value in iou)}"
            cell = boxes.draw_boxes(image, zoom * polys, labels, thickness=THICKNESS, with_text=False)
            cells.append(boxes.draw_truth_outline(cell, zoom * corners) if name in by_image else cell)
            captions.append(said)
    return montage.montage(cells, columns=len(chosen), captions=captions, cell_size=_cell_size(cells))


def _on_objects(
    found: Detections, corners: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(corners [k, 8], labels [k]) of the detection on each object where there is one, IoU [G] (0: none)."""
    polys = found.corners()
    iou = pairwise_poly_iou(polys, corners) if len(polys) else np.zeros((1, len(corners)))
    is_on = iou >= ON_OBJECT
    if len(polys):
        is_on &= found.labels[:, None] == labels
    scores = np.where(is_on, found.scores[:, None] if len(polys) else 0.0, -1.0)
    best, has = scores.argmax(axis=0), is_on.any(axis=0)
    return polys[best[has]], np.asarray(labels)[has], np.where(has, iou[best, np.arange(len(corners))], 0.0)


def _cell_size(cells: Sequence[np.ndarray]) -> tuple[int, int]:
    widest = max(cell.shape[1] / cell.shape[0] for cell in cells)
    return CELL_HEIGHT, round(CELL_HEIGHT * widest)


def _enlarged(image: np.ndarray) -> tuple[np.ndarray, int]:
    # Lines are a pixel or two wide: small images are enlarged before they are drawn on.
    zoom = max(1, -(-DRAWN_SIDE // max(image.shape[:2])))
    return image.repeat(zoom, 0).repeat(zoom, 1), zoom
