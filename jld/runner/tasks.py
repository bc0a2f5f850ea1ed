"""What is done with a trained detector: score it, write its results, draw its detections."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jld.checkpoint import atomic_write
from jld.data.dota import check_submission, merge_views, unflip_detections, write_submission
from jld.data.dota.merge import FLIPS, MERGE_IOU
from jld.evaluation import format_metrics, metrics_to_json, write_coco_results
from jld.runner.ranks import from_main, gather_detections
from jld.toolchain import jittor as jt
from jld.utils import stopping
from jld.utils.distributed import is_main, world_size
from jld.utils.logging import get_logger
from jld.visualization.boxes import draw_boxes
from jld.visualization.canvas import write_image

# The scores of single patches that are shown beside those of whole images.
PATCH_METRICS = ("AP50", "AP", "AP75")
MergeIou = float | Mapping[str, float]


def predict(
    detector: Any,
    loader: Any,
    title: str = "detecting",
    *,
    flips: Sequence[str] = (),
    iou_threshold: MergeIou = MERGE_IOU,
) -> list[dict[str, np.ndarray]]:
    """Detections of every image a loader serves; the detector is left in evaluation mode.

    Args:
        loader: under `mpirun` that of this rank, which deals out the images.
        flips: "H", "V", "HV": mirrored images are looked at as well, for detectors of rotated boxes.
        iou_threshold: what counts as the same object when the views are joined.
    Returns:
        dicts img_id, boxes [K, 4] xyxy (rotated: [K, 5], with flips `polys` [K, 8]) in original px, scores
        [K], labels [K], in the order of the loader. Of several ranks the first gets those of all, in the
        order of the dataset, and the others none.
    """
    from tqdm import tqdm

    detector.eval()
    views: list[list[dict]] = [[] for _ in range(1 + len(flips))]
    batches = loader.epoch(0)
    shown = tqdm(
        batches, total=len(loader), desc=title, leave=False, disable=not (is_main() and sys.stderr.isatty())
    )
    with jt.no_grad():
        for batch in shown:
            stopping.poll_alone()
            views[0] += detector.detect(detector(jt.array(batch["images"])), batch)
            for view, flip in zip(views[1:], flips, strict=True):
                mirrored = detector.detect(detector(jt.array(flipped_images(batch, flip))), batch)
                view += unflip_detections(mirrored, flip, _mirrored_sizes(batch))
    found = views[0]
    if flips:
        image_ids = [record["img_id"] for record in found]
        found = merge_views(views, loader.dataset.classes, iou_threshold=iou_threshold, image_ids=image_ids)
    return gather_detections(found, loader.dataset.image_ids) if world_size() > 1 else found


def flipped_images(batch: Mapping[str, Any], flip: str) -> np.ndarray:
    """The images [N, 3, H, W] of a batch, each mirrored where it is; the padding stays where it was."""
    images = batch["images"].copy()
    axes = {"horizontal": (2,), "vertical": (1,), "diagonal": (1, 2)}[FLIPS[flip]]
    for image, (height, width) in zip(images, batch["img_shapes"].astype(int), strict=True):
        image[:, :height, :width] = np.flip(image[:, :height, :width], axes)
    return images


def _mirrored_sizes(batch: Mapping[str, Any]) -> dict[Any, tuple[float, float]]:
    # Pixel i of w becomes w - 1 - i in the resized image, where one pixel is 1 / scale original ones.
    sizes = batch["ori_shapes"] + 1 - 1 / batch["scale_factors"][:, [1, 0]]
    return {img_id: tuple(size) for img_id, size in zip(batch["img_ids"], sizes.tolist(), strict=True)}


def evaluate(
    detector: Any,
    loader: Any,
    evaluator: Any,
    *,
    flips: Sequence[str] = (),
    iou_threshold: MergeIou = MERGE_IOU,
) -> tuple[dict[str, Any], list[dict]]:
    """(metrics, detections) of a detector on the dataset behind a loader.

    Detections in patches are moved to the whole images and scored there, where the dataset knows the ground
    truth of these; the scores on the patches stand beside them as `patch_AP50` and so on. Where it does not,
    the scores are those on the patches, and the protocol says so. Of several ranks the first scores and tells
    the others the metrics; it alone gets the detections.

    Args:
        flips, iou_threshold: see `predict`; the threshold also decides what several patches saw.
    """
    detections = predict(detector, loader, "evaluating", flips=flips, iou_threshold=iou_threshold)
    if not is_main():
        return json.loads(from_main("{}")), []
    metrics, whole = score(detections, loader.dataset, evaluator, iou_threshold)
    from_main(metrics_to_json(metrics))
    return metrics, whole


def score(
    detections: list[dict], dataset: Any, evaluator: Any, iou_threshold: MergeIou = MERGE_IOU
) -> tuple[dict[str, Any], list[dict]]:
    """(metrics, detections in whole images) of what was found on a dataset, see `evaluate`."""
    metrics = evaluator(detections, dataset.ground_truth(), dataset.classes)
    whole = whole_images(detections, dataset, iou_threshold)
    if getattr(dataset, "has_whole_labels", False):
        patches = {f"patch_{name}": metrics[name] for name in PATCH_METRICS if name in metrics}
        truth = dataset.whole_ground_truth([record["img_id"] for record in whole])
        metrics = {**evaluator(whole, truth, dataset.classes), **patches}
    elif hasattr(dataset, "layout") and dataset.layout.is_patches:
        metrics["protocol"] += ", patches scored one by one"
    return metrics, whole


def whole_images(detections: list[dict], dataset: Any, iou_threshold: MergeIou = MERGE_IOU) -> list[dict]:
    """Detections of the whole images behind a dataset of patches; those of any other dataset as they are."""
    merge = getattr(dataset, "merge_detections", None)
    return detections if merge is None else merge(detections, iou_threshold)


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


def _write_dota(detections: Sequence[dict], dataset: Any, folder: Path) -> Path:
    """Task1.zip (oriented) and Task2.zip (the upright boxes around them), checked as the server would."""
    image_ids = {dataset.layout.whole_id(image_id) for image_id in dataset.image_ids}
    for task in (2, 1):
        path = write_submission(folder / f"Task{task}.zip", detections, dataset.classes, task=task)
        report = check_submission(path, image_ids, dataset.classes, task=task)
        report.raise_errors(str(path))
    get_logger("run").info(
        "%s: %d detections in %d of %d images%s",
        path,
        sum(report.num_detections.values()),
        report.num_images,
        len(image_ids),
        "".join(f"; {problem}" for problem in report.problems),
    )
    return path


# (whether it suits a dataset, how to write); the first that suits is taken, plain json otherwise. A project
# adds its own at the front.
RESULT_WRITERS: list[tuple[Callable[[Any], bool], Callable[[Sequence[dict], Any, Path], Path]]] = [
    (lambda dataset: hasattr(dataset, "category_ids"), _write_coco),
    (lambda dataset: hasattr(dataset, "merge_detections"), _write_dota),
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
        picture = draw_boxes(
            dataset.read_image(index),
            entry["polys"] if "polys" in entry else entry["boxes"],
            entry["labels"],
            entry["scores"],
            classes=classes or None,
            score_threshold=score_threshold,
        )
        name = str(entry["img_id"]).replace("/", "_")
        written.append(write_image(folder / f"{name}.jpg", picture))
    return written
