"""How much memory the masks of a whole evaluation take: found, scored and written as COCO results.

    python tests/results_memory.py

As many images and masks as COCO's val2017 gives a detector; every mask has its own run lengths. The table
says the largest resident memory after each step; the exit code is 1 where it exceeds the limit.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from jld.boxes.detections import Detections
from jld.boxes.masks import from_bitmap
from jld.data.results import write_coco_results
from jld.evaluation import CocoEvaluator

HEIGHT, WIDTH, OBJECTS, CLASSES = 480, 640, 7, 80


def peak_mib() -> int:
    """The largest resident memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def shapes_of(rng: np.random.Generator, count: int) -> tuple[np.ndarray, list[dict]]:
    """Boxes [count, 4] of random ellipses with wavy rims, and their masks as run lengths."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    boxes, masks = np.zeros((count, 4), np.float32), []
    for box in boxes:
        (width, height), (x, y) = rng.uniform(20, 300, 2), rng.uniform(0, 1, 2)
        x, y = x * (WIDTH - width), y * (HEIGHT - height)
        box[:] = x, y, x + width, y + height
        across, down = (columns - x) / width * 2 - 1, (rows - y) / height * 2 - 1
        rim = 1 - 0.2 * (1 + np.sin(9 * np.arctan2(down, across)))
        masks.append(from_bitmap((np.hypot(across, down) < rim).astype(np.uint8)))
    return boxes, masks


def copied(mask: dict) -> dict:
    """A mask with memory of its own."""
    return {"size": list(mask["size"]), "counts": "".join(list(mask["counts"]))}


def detections_of(rng: np.random.Generator, images: int, masks: int) -> tuple[list[Detections], list[dict]]:
    """What a detector might have found in every image, and the ground truth."""
    boxes, drawn = shapes_of(rng, 200)
    found, truth = [], []
    for image in range(images):
        rows, real = rng.integers(0, len(drawn), masks), rng.integers(0, len(drawn), OBJECTS)
        labels = rng.integers(0, CLASSES, masks)
        one = [copied(drawn[row]) for row in rows]
        scores = np.sort(rng.uniform(0.05, 1, masks).astype(np.float32))[::-1]
        found.append(Detections(image, scores, labels, boxes=boxes[rows], masks=one))
        sides = boxes[real][:, 2:] - boxes[real][:, :2]
        truth.append({
            "img_id": image, "boxes": boxes[real], "labels": rng.integers(0, CLASSES, OBJECTS),
            "is_crowd": np.zeros(OBJECTS, bool), "is_difficult": np.zeros(OBJECTS, bool),
            "areas": sides.prod(1), "masks": [copied(drawn[row]) for row in real],
            "height": HEIGHT, "width": WIDTH,
        })  # fmt: skip
    return found, truth


def main(arguments: list[str] | None = None) -> int:
    """Prints the table; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--masks", type=int, default=100, help="of each image")
    parser.add_argument("--limit", type=int, default=2048, metavar="MIB")
    options = parser.parse_args(arguments)
    rng, started = np.random.default_rng(0), time.perf_counter()

    def report(step: str) -> None:
        print(f"| {step} | {peak_mib()} | {time.perf_counter() - started:.0f} |", flush=True)

    print("| after | MiB | s |\n|---|---|---|")
    report("start")
    found, truth = detections_of(rng, options.images, options.masks)
    report(f"{options.images * options.masks} masks found")
    with tempfile.TemporaryDirectory() as folder:
        path = write_coco_results(found, range(CLASSES), Path(folder) / "results.json", what="segmentation")
        report(f"{path.stat().st_size / 2**20:.0f} MiB of results written")
    metrics = CocoEvaluator(with_masks=True)(found, truth, [f"class {k}" for k in range(CLASSES)])
    report("boxes and masks scored")
    print(json.dumps({name: metrics[name] for name in ("AP", "segm_AP")}))
    return int(peak_mib() > options.limit)


if __name__ == "__main__":
    sys.exit(main())
