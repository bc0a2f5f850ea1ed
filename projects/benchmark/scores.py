"""How long COCO's scores take in pycocotools and in hotcoco, and how far they are apart."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.evaluation import CocoEvaluator
from jld.evaluation.coco import STATISTICS
from projects.benchmark.report import Report
from projects.benchmark.scene import Settings

NUM_IMAGES, MOST_FOUND, SIDE = 2000, 150, 600


def benchmark_scores(settings: Settings, num_images: int = NUM_IMAGES) -> Report:
    """Scores of random boxes around random objects, once with each backend."""
    classes = list(map(str, range(settings.num_classes)))
    found, truth = _scene(num_images, len(classes))
    rows, scores = [], []
    for backend in ("pycocotools", "hotcoco"):
        start = time.perf_counter()
        metrics = CocoEvaluator(backend=backend)(found, truth, classes)
        rows.append((backend, f"{time.perf_counter() - start:.2f}", f"{100 * metrics['AP']:.4f}"))
        scores.append([metrics[name] for name in STATISTICS])
    facts = {
        "detections": sum(map(len, found)),
        "largest difference of the twelve": f"{np.abs(np.subtract(*scores)).max():.1g}",
    }
    title = f"COCO scores: {num_images} images, {len(classes)} classes"
    return Report(title, ("backend", "seconds", "AP"), rows, facts)


def _scene(num_images: int, num_classes: int) -> tuple[list[Detections], list[dict[str, Any]]]:
    rng = np.random.default_rng(0)
    found, truth = [], []
    for image in range(num_images):
        count, num_found = rng.integers(1, 15), rng.integers(0, MOST_FOUND)
        corners, sizes = rng.uniform(0, 0.7 * SIDE, (count, 2)), rng.uniform(4, 0.5 * SIDE, (count, 2))
        boxes, labels = np.concatenate([corners, corners + sizes], 1), rng.integers(0, num_classes, count)
        source = rng.integers(0, count, num_found)
        near = boxes[source] + rng.normal(0, 0.02 * SIDE, (num_found, 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        guessed = np.where(
            rng.random(num_found) < 0.8, labels[source], rng.integers(0, num_classes, num_found)
        )
        found.append(Detections(image, rng.random(num_found), guessed, boxes=near))
        flags = {"is_crowd": rng.random(count) < 0.02, "is_difficult": np.zeros(count, bool)}
        areas = sizes.prod(1) * rng.uniform(0.4, 1, count)
        truth.append({"img_id": image, "boxes": boxes, "labels": labels, "areas": areas, **flags})
    return found, truth
