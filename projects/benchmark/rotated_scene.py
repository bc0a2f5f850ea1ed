"""Rotated boxes, patch detections and images for measuring: random, with what makes real ones slow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.rotated import rboxes_to_polys
from jld.data.dota.classes import DOTA1_CLASSES
from jld.data.dota.labels import PolyAnnotation, write_label_file
from jld.data.dota.names import patch_name
from jld.data.dota.windows import image_windows

CLASSES = DOTA1_CLASSES
PATCH_PX, OVERLAP_PX = 1024, 200


@dataclass(frozen=True)
class RotatedSizes:
    """How much of each kind is measured.

    Attributes:
        gts, anchors: boxes of the two sides of an overlap matrix.
        assigned, assigned_px: objects that are assigned to all anchors of a square image of this side.
        nms_boxes: candidates of one suppression.
        images, image_px, objects: what is split: number, side in px, objects in each.
        detections: in all patches that are merged, and in all images that are evaluated.
    """

    gts: int = 1000
    anchors: int = 100_000
    assigned: int = 500
    assigned_px: int = 1024
    nms_boxes: int = 20_000
    images: int = 2
    image_px: int = 3000
    objects: int = 1000
    detections: int = 100_000


def random_rboxes(rng: np.random.Generator, count: int, extent_px: float) -> np.ndarray:
    """[count, 5] float32 boxes of 8 to 128 px, up to four times as long as wide, anywhere in a square."""
    centers = rng.uniform(0, extent_px, (count, 2))
    long = np.exp(rng.uniform(np.log(8), np.log(128), count))
    short = long * rng.uniform(0.25, 1, count)
    return np.float32(np.column_stack([centers, long, short, rng.uniform(-np.pi / 2, np.pi / 2, count)]))


def crowded(rng: np.random.Generator, objects: np.ndarray, count: int) -> np.ndarray:
    """Rows [count] of `objects` and boxes [count, 5] near them: a detector finds each object many times."""
    rows = rng.integers(0, len(objects), count)
    boxes = objects[rows].astype(np.float64)
    boxes[:, :2] += rng.normal(0, 0.08, (count, 2)) * boxes[:, 2:4]
    boxes[:, 2:4] *= np.exp(rng.normal(0, 0.1, (count, 2)))
    boxes[:, 4] += rng.normal(0, 0.05, count)
    return rows, np.float32(boxes)


def few_labels(rng: np.random.Generator, count: int) -> np.ndarray:
    """[count] labels of three classes: an aerial image shows few kinds of objects, each many times."""
    return rng.choice(rng.choice(len(CLASSES), 3, replace=False), count)


def patch_detections(sizes: RotatedSizes, image_px: int = 4000) -> tuple[list[Detections], list[str]]:
    """Detections of the patches of large images, each object found in every patch that shows it.

    Returns:
        rotated boxes per patch, named in JDet's style; the images' names.
    """
    rng = np.random.default_rng(1)
    windows = image_windows(image_px, image_px, PATCH_PX, OVERLAP_PX)
    num_images = max(1, sizes.detections // (len(windows) * 80))
    per_patch = sizes.detections // (num_images * len(windows))
    records, names = [], [f"P{index:04d}" for index in range(num_images)]
    for name in names:
        objects = random_rboxes(rng, 1200, image_px)
        labels = few_labels(rng, len(objects))
        for window in windows:
            x, y = (int(side) for side in window[:2])
            inside = ((objects[:, :2] >= window[:2]) & (objects[:, :2] < window[2:])).all(1)
            rows, boxes = crowded(rng, objects[inside], per_patch)
            boxes[:, :2] -= (x, y)
            scores = rng.random(per_patch, np.float32)
            patch = patch_name(name, 1.0, x, y)
            records.append(Detections(patch, scores, labels[inside][rows], rboxes=boxes))
    return records, names


def detections_and_truths(sizes: RotatedSizes, per_image: int = 200) -> tuple[list[Detections], list[dict]]:
    """Detections of whole images and their ground truth, as `DotaEvaluator` takes them."""
    rng = np.random.default_rng(2)
    truths, found = [], []
    for index in range(max(1, sizes.detections // per_image)):
        objects, labels = random_rboxes(rng, 60, 2000), few_labels(rng, 60)
        flags = (rng.random(60) < 0.1).astype(np.int64)
        polys = rboxes_to_polys(objects)
        image = {"img_id": f"P{index:04d}"}
        ground_truth = {"polys": polys, "labels": labels, "is_crowd": np.zeros(60, bool)}
        truths.append({**image, **ground_truth, "is_difficult": flags > 0, "difficult": flags})
        rows, boxes = crowded(rng, objects, per_image)
        guesses = np.where(
            rng.random(per_image) < 0.9, labels[rows], rng.integers(0, len(CLASSES), per_image)
        )
        scores = rng.random(per_image, np.float32)
        found.append(Detections(image["img_id"], scores, guesses, polys=rboxes_to_polys(boxes)))
    return found, truths


def write_sources(folder: Path, sizes: RotatedSizes) -> None:
    """Images with smooth content and a little noise, and their label files, in DOTA's layout."""
    rng = np.random.default_rng(3)
    for name in ("images", "labelTxt"):
        (folder / name).mkdir(parents=True)
    for index in range(sizes.images):
        coarse = rng.integers(0, 256, (sizes.image_px // 50, sizes.image_px // 50, 3), np.uint8)
        image = cv2.resize(coarse, (sizes.image_px, sizes.image_px), interpolation=cv2.INTER_CUBIC)
        image = cv2.add(image, rng.integers(0, 12, image.shape, np.uint8))
        cv2.imwrite(str(folder / "images" / f"P{index:04d}.png"), image)
        polys = rboxes_to_polys(random_rboxes(rng, sizes.objects, sizes.image_px))
        names = [CLASSES[label] for label in rng.integers(0, len(CLASSES), sizes.objects)]
        annotation = PolyAnnotation.of(np.float64(polys).round(1), names)
        write_label_file(folder / "labelTxt" / f"P{index:04d}.txt", annotation, header=False)
