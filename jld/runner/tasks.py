"""What is done with a trained detector: score it, write its results, draw its detections."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.checkpoint import atomic_write
from jld.data import DataLoader, Dataset
from jld.data.dota import Views
from jld.data.results import write_plain_results
from jld.evaluation import Evaluator, format_metrics, metrics_to_json, published_row
from jld.models import Detector
from jld.runner.ranks import from_main, gather_detections
from jld.toolchain import jittor as jt
from jld.utils import stopping
from jld.utils.distributed import is_main, world_size
from jld.utils.logging import get_logger
from jld.visualization.boxes import draw_boxes, draw_truth_outline
from jld.visualization.canvas import write_image
from jld.visualization.masks import draw_masks


def predict(
    detector: Detector, loader: DataLoader, title: str = "detecting", *, views: Views | None = None
) -> list[Detections]:
    """Detections of every image a loader serves; the detector is left in evaluation mode.

    Args:
        loader: under `mpirun` that of this rank, which deals out the images.
        views: what `Dataset.views` gave: which mirrored and resized images are looked at as well; None: none.
    Returns:
        per image, in px of the original and in the order of the loader. Of several ranks the first gets those
        of all, in the order of the dataset, and the others none.
    """
    from tqdm import tqdm

    detector.eval()
    views = views or Views()
    seen: list[list[Detections]] = [[] for _ in range(len(views))]
    batches = loader.epoch(0)
    shown = tqdm(
        batches, total=len(loader), desc=title, leave=False, disable=not (is_main() and sys.stderr.isatty())
    )
    with jt.no_grad():
        for batch in shown:
            stopping.poll_alone()
            for found, (look, flip) in zip(seen, views.looks(batch), strict=True):
                own = detector.detect(detector(jt.array(look["images"]), look["img_shapes"]), look)
                found += own if flip is None else views.unmirror(own, look, flip)
    detections = views.join(seen, loader.dataset.classes) if len(views) > 1 else seen[0]
    return gather_detections(detections, loader.dataset.image_ids) if world_size() > 1 else detections


def evaluate(
    detector: Detector, loader: DataLoader, evaluator: Evaluator, *, views: Views | None = None
) -> tuple[dict[str, Any], Sequence[Detections]]:
    """(metrics, detections) of a detector on the dataset behind a loader, see `Dataset.score`.

    Of several ranks the first scores and tells the others the metrics; it alone gets the detections.

    Args:
        views: see `predict`.
    """
    detections = predict(detector, loader, "evaluating", views=views)
    if not is_main():
        return json.loads(from_main("{}")), []
    metrics, whole = loader.dataset.score(detections, evaluator, views)
    from_main(metrics_to_json(metrics))
    return metrics, whole


def metrics_table(metrics: Mapping[str, Any], published: Mapping[str, Any] | None, dataset: Dataset) -> str:
    """The scores on a dataset as text, beside the published row where the config names one.

    A row of other data (`published=dict(row=...)` came with a base config) is not shown; a line says why.
    """
    row = published_row(published["row"]) if published and published.get("row") else None
    why = row.mismatch(dataset.benchmark, len(dataset.image_ids)) if row else ""
    table = format_metrics(dict(metrics), published=None if why else row)
    return f"{table}\npublished row {row.id} is not shown: {why}" if row and why else table


def write_results(
    folder: Path,
    dataset: Dataset,
    detections: Sequence[Detections],
    metrics: Mapping[str, Any] | None,
    about: Mapping[str, Any],
) -> Path:
    """Writes detections, and metrics where there are any, for other programs.

    Args:
        folder: gets `metrics.json` (the metrics, with `about` and whose images were scored under "run") and
            the detections file.
        dataset: knows the format of the detections; plain json where that cannot hold their names.
        about: where the numbers come from: config, checkpoint.
    Returns:
        path of the detections.
    """
    if metrics is not None:
        scored = {"benchmark": dataset.benchmark, "images": len(dataset.image_ids)}
        content = json.loads(metrics_to_json(dict(metrics))) | {"run": dict(about) | scored}
        text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        atomic_write(folder / "metrics.json", lambda file: file.write(text.encode()))
    if problems := dataset.result_problems():
        text = "detections are written as plain json, the benchmark's files cannot hold them: %s"
        get_logger("run").warning(text, " ".join(problems))
        return write_plain_results(detections, dataset.classes, folder / "detections.json")
    return dataset.write_results(detections, folder)


def example_pictures(detections: Sequence[Detections], dataset: Dataset) -> dict[str, np.ndarray]:
    """{"val/<image>": uint8 BGR} of the images of a dataset, with detections above the dashed ground truth.

    Args:
        detections: of these images and maybe others; where none is of these, as in whole images of which
            these are patches, nothing is drawn.
    """
    found = {each.img_id: each for each in detections}
    pictures: dict[str, np.ndarray] = {}
    if found.keys().isdisjoint(dataset.image_ids):
        return pictures
    for index, truth in enumerate(dataset.ground_truth()):
        drawn = draw_truth_outline(dataset.read_image(index), truth.get("polys", truth["boxes"]))
        if each := found.get(truth["img_id"]):
            drawn = draw_boxes(
                drawn,
                each.shapes,
                each.labels,
                each.scores,
                classes=dataset.classes or None,
                score_threshold=0.3,
            )
        pictures[f"val/{truth['img_id']}"] = drawn
    return pictures


def draw_detections(
    detections: Sequence[Detections],
    dataset: Dataset,
    folder: Path,
    *,
    score_threshold: float = 0.3,
    classes: Sequence[str] = (),
) -> list[Path]:
    """Draws the detections of each image, and their masks, into `folder`, named by the image's identifier.

    Args:
        score_threshold: detections scored below are not drawn.
        classes: names of the labels; none: numbers are drawn.
    """
    folder.mkdir(parents=True, exist_ok=True)
    index_of = {img_id: index for index, img_id in enumerate(dataset.image_ids)}
    written = []
    for found in detections:
        image = dataset.read_image(index_of[found.img_id])
        if found.masks is not None:
            image = draw_masks(
                image, found.masks, found.labels, found.scores, score_threshold=score_threshold
            )
        picture = draw_boxes(
            image,
            found.shapes,
            found.labels,
            found.scores,
            classes=classes or None,
            score_threshold=score_threshold,
        )
        name = str(found.img_id).replace("/", "_")
        written.append(write_image(folder / f"{name}.jpg", picture))
    return written
