"""What is done with a trained detector: score it, write its results, draw its detections."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jld.checkpoint import atomic_write
from jld.data.images import read_image
from jld.evaluation import format_metrics, metrics_to_json, write_coco_results
from jld.toolchain import jittor as jt
from jld.utils.distributed import is_main
from jld.visualization.boxes import draw_boxes
from jld.visualization.canvas import write_image


def predict(detector: Any, loader: Any, title: str = "detecting") -> list[dict[str, np.ndarray]]:
    """Detections of every image a loader serves; the detector is left in evaluation mode.

    Returns:
        dicts img_id, boxes [K, 4] xyxy in original px, scores [K], labels [K], in the order of the loader.
    """
    from tqdm import tqdm

    detector.eval()
    detections: list[dict] = []
    batches = loader.epoch(0)
    shown = tqdm(
        batches, total=len(loader), desc=title, leave=False, disable=not (is_main() and sys.stderr.isatty())
    )
    with jt.no_grad():
        for batch in shown:
            detections += detector.detect(detector(jt.array(batch["images"])), batch)
    return detections


def evaluate(detector: Any, loader: Any, evaluator: Any) -> tuple[dict[str, Any], list[dict]]:
    """(metrics, detections) of a detector on the dataset behind a loader."""
    detections = predict(detector, loader, "evaluating")
    dataset = loader.dataset
    return evaluator(detections, dataset.ground_truth(), dataset.classes), detections


def metrics_table(metrics: Mapping[str, Any], published: Mapping[str, Any] | None) -> str:
    """The scores as text, beside the published row where the config names one (`published=dict(row=...)`)."""
    return format_metrics(metrics, published=(published or {}).get("row"))


def write_results(
    folder: Path, dataset: Any, detections: Sequence[dict], metrics: Mapping | None, about: dict
) -> Path:
    """Writes detections, and metrics where there are any, for other programs.

    Args:
        folder: gets `metrics.json` (the metrics, with `about` under "run") and the detections file.
        dataset: its kind chooses the format of the detections.
        about: where the numbers come from: config, checkpoint.
    Returns:
        path of the detections.
    """
    if metrics is not None:
        content = json.loads(metrics_to_json(dict(metrics))) | {"run": about}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        atomic_write(folder / "metrics.json", lambda file: file.write(text.encode()))
    writer = next((write for fits, write in RESULT_WRITERS if fits(dataset)), write_plain_results)
    return writer(detections, dataset, folder)


def write_plain_results(detections: Sequence[dict], dataset: Any, folder: Path) -> Path:
    """detections.json: a list of {img_id, boxes (xyxy px), scores, labels}, and the class names."""
    images = [
        {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in entry.items()}
        for entry in detections
    ]
    text = json.dumps({"classes": list(dataset.classes), "images": images})
    path = folder / "detections.json"
    atomic_write(path, lambda file: file.write(text.encode()))
    return path


def _write_coco(detections: Sequence[dict], dataset: Any, folder: Path) -> Path:
    return write_coco_results(detections, dataset.category_ids, folder / "detections.bbox.json")


# (whether it suits a dataset, how to write); the first that suits is taken, plain json otherwise. A project
# adds its own at the front.
RESULT_WRITERS: list[tuple[Callable[[Any], bool], Callable[[Sequence[dict], Any, Path], Path]]] = [
    (lambda dataset: hasattr(dataset, "category_ids"), _write_coco),
]


def draw_detections(
    detections: Sequence[dict],
    dataset: Any,
    folder: Path,
    *,
    score_threshold: float = 0.3,
    classes: Sequence[str] = (),
) -> list[Path]:
    """Draws the detections of each image into `folder`, named by the image's identifier.

    Args:
        score_threshold: detections scored below are not drawn.
        classes: names of the labels; none: numbers are drawn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index_of = {img_id: index for index, img_id in enumerate(dataset.image_ids)}
    written = []
    for entry in detections:
        index = index_of[entry["img_id"]]
        image = (
            dataset.read_image(index)
            if hasattr(dataset, "read_image")
            else read_image(dataset.image_file(index))
        )
        picture = draw_boxes(
            image,
            entry["boxes"],
            entry["labels"],
            entry["scores"],
            classes=classes or None,
            score_threshold=score_threshold,
        )
        name = str(entry["img_id"]).replace("/", "_")
        written.append(write_image(folder / f"{name}.jpg", picture))
    return written
