"""Rotated boxes the plain way: loops over boxes with shapely, as the development kits of DOTA work.

What `tools/benchmark.py --what rotated` divides by where no peer is installed, and what it checks jld's
results against. One box at a time, upright boxes compared first, everything in float64 on one core.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import shapely

from jld.boxes.detections import Detections
from jld.boxes.rotated import polys_to_xyxy, rboxes_to_polys
from jld.data.dota.labels import read_label_file
from jld.data.dota.names import parse_patch_name
from jld.data.dota.windows import drop_empty_windows, image_windows


def _shapes(polys: np.ndarray) -> list[shapely.Polygon]:
    return [shapely.Polygon(poly.reshape(4, 2)) for poly in np.asarray(polys, np.float64)]


def _iou(first: shapely.Polygon, second: shapely.Polygon) -> float:
    shared = first.intersection(second).area
    return shared / (first.area + second.area - shared)


def _touching(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Rows of others [n, 4] whose upright box meets box [4]."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    return np.flatnonzero((low < high).all(1))


def pairwise_iou(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """[A, B] overlaps of rotated boxes [A, 5] and [B, 5]."""
    polys, others = rboxes_to_polys(first), rboxes_to_polys(second)
    boxes, other_boxes = polys_to_xyxy(polys), polys_to_xyxy(others)
    shapes, overlaps = _shapes(polys), np.zeros((len(first), len(second)))
    for row, shape in enumerate(shapes):
        for column in _touching(boxes[row], other_boxes):
            overlaps[row, column] = _iou(shape, shapely.Polygon(others[column].reshape(4, 2)))
    return overlaps


def suppress(polys: np.ndarray, scores: np.ndarray, iou_threshold: float) -> list[int]:
    """Rows of polys [n, 8] that survive, best score first."""
    boxes, shapes = polys_to_xyxy(polys), _shapes(polys)
    order, kept = np.argsort(-scores, kind="stable"), []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        near = _touching(boxes[best], boxes[rest])
        is_alive = np.ones(len(rest), bool)
        is_alive[[k for k in near if _iou(shapes[best], shapes[rest[k]]) > iou_threshold]] = False
        order = rest[is_alive]
    return kept


def merge(records: Sequence[Detections], num_classes: int, iou_threshold: float) -> dict:
    """{(image, class): [(8 coordinates, score), ...]} of detections in patches, best score first."""
    found: dict[tuple[str, int], list] = {}
    for record in records:
        place = parse_patch_name(record.img_id, "jdet")
        polys = (record.corners() + np.tile([place.x, place.y], 4)) / place.rate
        for poly, score, label in zip(polys, record.scores, record.labels, strict=True):
            found.setdefault((place.image_id, int(label)), []).append((*poly, float(score)))
    merged = {}
    for key, rows in found.items():
        table = np.array(rows)
        merged[key] = [rows[k] for k in suppress(table[:, :8], table[:, 8], iou_threshold)]
    return merged


def evaluate(
    found: Sequence[Detections], truths: Sequence[dict], num_classes: int, iou_threshold: float
) -> float:
    """Mean over the classes of the 11-point average precision, at one threshold."""
    scores = []
    for label in range(num_classes):
        curve = _curve(found, truths, label, iou_threshold)
        if curve is not None:
            recalls, precisions = curve
            reached = [precisions[recalls >= share] for share in np.arange(0, 1.1, 0.1)]
            scores.append(np.mean([values.max() if len(values) else 0.0 for values in reached]))
    return float(np.mean(scores))


def _curve(found: Sequence[Detections], truths: Sequence[dict], label: int, iou_threshold: float) -> Any:
    objects, num_gts, asked = {}, 0, []
    for entry, truth in zip(found, truths, strict=True):
        rows = truth["labels"] == label
        polys, flags = truth["polys"][rows], truth["difficult"][rows]
        taken = [False] * len(polys)
        objects[truth["img_id"]] = polys_to_xyxy(polys), _shapes(polys), flags, taken
        num_gts += int((flags == 0).sum())
        mine = entry.labels == label
        asked += [
            (score, truth["img_id"], poly)
            for score, poly in zip(entry.scores[mine], entry.polys[mine], strict=True)
        ]
    if not num_gts:
        return None
    hits, errors = np.zeros(len(asked)), np.zeros(len(asked))
    for row, (_, img_id, poly) in enumerate(sorted(asked, key=lambda entry: -entry[0])):
        boxes, shapes, flags, taken = objects[img_id]
        near = _touching(polys_to_xyxy(poly[None])[0], boxes) if len(boxes) else []
        shape = shapely.Polygon(poly.reshape(4, 2))
        overlaps = [_iou(shape, shapes[k]) for k in near]
        best = near[int(np.argmax(overlaps))] if overlaps else -1
        if best < 0 or max(overlaps) <= iou_threshold:
            errors[row] = 1
        elif not flags[best]:
            hits[row], errors[row] = not taken[best], taken[best]
            taken[best] = True
    hits, errors = np.cumsum(hits), np.cumsum(errors)
    return hits / num_gts, hits / np.maximum(hits + errors, 1e-16)


def split(source: Path, target: Path, size: int, overlap: int) -> int:
    """Patches of all images by mmRotate's rules, with a loop over objects and windows; how many there are."""
    for name in ("images", "annfiles"):
        (target / name).mkdir(parents=True)
    count = 0
    for file in sorted((source / "images").iterdir()):
        image = cv2.imread(str(file))
        annotation, _ = read_label_file(source / "labelTxt" / f"{file.stem}.txt")
        height, width = image.shape[:2]
        windows = drop_empty_windows(image_windows(width, height, size, overlap), width, height)
        boxes, shapes = polys_to_xyxy(annotation.polys), _shapes(annotation.polys)
        for window in windows:
            x, y, right, bottom = (int(side) for side in window)
            frame, lines = shapely.box(x, y, right, bottom), []
            for row in _touching(np.array([x, y, right, bottom]), boxes):
                share = shapes[row].intersection(frame).area / shapes[row].area
                if share >= 0.7:
                    numbers = " ".join(str(value) for value in annotation.polys[row] - np.tile([x, y], 4))
                    flag = annotation.difficult[row] if share >= 1 else 2
                    lines.append(f"{numbers} {annotation.names[row]} {flag}\n")
            patch = np.full((bottom - y, right - x, 3), (104, 116, 124), np.uint8)
            shown = image[y:bottom, x:right]
            patch[: shown.shape[0], : shown.shape[1]] = shown
            name = f"{file.stem}__{size}__{x}___{y}"
            cv2.imwrite(str(target / "images" / f"{name}.png"), patch)
            (target / "annfiles" / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
            count += 1
    return count
