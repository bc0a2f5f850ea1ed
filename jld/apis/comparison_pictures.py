"""The picture of a comparison: curves of all runs, and what each finds in some images, enlarged, with IoU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.rotated import shapes_to_polys
from jld.boxes.rotated.polygon_iou import pairwise_poly_iou
from jld.data import Dataset
from jld.visualization import boxes, curves, montage

PANELS = ("eval/AP", "eval/AP75", "loss_bbox", "loss_cls")
EXAMPLES = 5
SCORE_SHOWN = 0.3
DRAWN_SIDE = 384


def draw_comparison(
    folders: Mapping[str, Path], dataset: Dataset, found: Mapping[str, Sequence[Detections]]
) -> np.ndarray:
    """Curves of all runs above example images: ground truth, then every run's detections around it.

    The examples are the first images with several objects. The caption gives, object by object, the IoU of
    the best fitting detection of its class; "-" where none is shown.

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


def _draw_examples(dataset: Dataset, found: Mapping[str, Sequence[Detections]]) -> np.ndarray:
    truths = dataset.ground_truth()
    chosen = [index for index, truth in enumerate(truths) if len(truth["boxes"]) > 1][:EXAMPLES]
    rows: list[tuple[str, dict[Any, Detections]]] = [("ground truth", {})]
    rows += [(name, {each.img_id: each for each in detections}) for name, detections in found.items()]
    cells, captions = [], []
    for name, by_image in rows:
        for index in chosen:
            truth = truths[index]
            image, zoom = _enlarged(dataset.read_image(index))
            corners = zoom * shapes_to_polys(truth.get("polys", truth["boxes"]))
            if not by_image:
                cells.append(boxes.draw_boxes(image, corners, truth["labels"], with_text=False))
                captions.append(name)
                continue
            result = by_image[truth["img_id"]]
            is_shown = result.scores >= SCORE_SHOWN
            polys, labels = zoom * result.corners()[is_shown], result.labels[is_shown]
            drawn = boxes.draw_boxes(image, polys, labels, with_text=False)
            cells.append(boxes.draw_truth_outline(drawn, corners))
            captions.append(f"{name}  {_fits(polys, labels, corners, truth['labels'])}")
    return montage.montage(cells, columns=len(chosen), captions=captions, cell_size=(256, 256 * 4 // 3))


def _enlarged(image: np.ndarray) -> tuple[np.ndarray, int]:
    # Lines are a pixel or two wide: small images are enlarged before they are drawn on.
    zoom = max(1, -(-DRAWN_SIDE // max(image.shape[:2])))
    return image.repeat(zoom, 0).repeat(zoom, 1), zoom


def _fits(polys: np.ndarray, labels: np.ndarray, corners: np.ndarray, truth_labels: Any) -> str:
    """IoU of every object with the best fitting detection of its class."""
    if not len(polys):
        return " ".join("-" * len(corners))
    iou = np.where(labels[:, None] == np.asarray(truth_labels), pairwise_poly_iou(polys, corners), 0).max(0)
    return " ".join(f"{value:.2f}" if value > 0 else "-" for value in iou)
