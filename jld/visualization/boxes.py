"""Boxes over images: detections and ground truth."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from jld.boxes.rotated import shapes_to_polys
from jld.errors import DataError
from jld.visualization.canvas import (
    INK,
    TRUTH,
    Color,
    as_bgr,
    class_color,
    contrast_color,
    put_text,
    text_size,
)

MIN_TAGS, TAGGED_SHARE = 10, 0.15


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: np.ndarray | None = None,
    scores: np.ndarray | None = None,
    *,
    classes: Sequence[str] | None = None,
    score_threshold: float = 0.0,
    thickness: int | None = None,
    with_text: bool = True,
) -> np.ndarray:
    """An image with boxes, each in the colour of its class and with a readable label.

    Args:
        image: uint8 [H, W, 3] BGR.
        boxes: [K, 4] xyxy px, [K, 5] centre x, centre y, width, height, angle (radians, clockwise on
            screen), with a line from the centre in the direction of the angle, or [K, 8] four corners x, y.
        labels: [K] 0-based; None: all 0.
        scores: [K] in 0..1; the best is drawn last, on top. None: no scores are written.
        classes: names of the labels; None: the numbers are written.
        score_threshold: boxes scored below are left out.
        thickness: line width in px; None: by the image size.
        with_text: whether to write names and scores.
    Returns:
        uint8 [H, W, 3] BGR.
    Raises:
        DataError: array lengths differ, boxes have another width, or a label has no class.
    """
    canvas = as_bgr(image)
    corners = box_corners(boxes)
    labels = np.zeros(len(corners), np.int64) if labels is None else np.asarray(labels).astype(np.int64)
    _check(corners, labels, scores, classes)
    order = np.arange(len(corners)) if scores is None else np.argsort(np.asarray(scores), kind="stable")
    if scores is not None:
        order = order[np.asarray(scores)[order] >= score_threshold]
    size = max(canvas.shape[:2])
    thickness = thickness or max(1, round(size / 320))
    has_angles = np.shape(boxes)[1:] == (5,)
    for index in order:
        polygon, color = _pixels(corners[index]), class_color(int(labels[index]))
        cv2.polylines(canvas, [polygon], True, color, thickness, _line_type(polygon))
        if has_angles:
            # From the centre to the middle of the edge that the angle points at: corners 1 and 2.
            pointer = _pixels(np.stack([corners[index].mean(0), corners[index][1:3].mean(0)]))
            cv2.line(canvas, pointer[0].tolist(), pointer[1].tolist(), color, thickness, _line_type(pointer))
    if with_text:
        tags = [
            (corners[k], _caption(k, labels, scores, classes), class_color(int(labels[k])))
            for k in order[::-1]
        ]
        _write_tags(canvas, tags, scale=float(np.clip(size / 1600, 0.35, 1.0)))
    return canvas


def draw_truth_outline(image: np.ndarray, boxes: np.ndarray, *, color: Color = TRUTH) -> np.ndarray:
    """Dashed outlines on a dark line, without text: ground truth that stays visible on any picture.

    Args:
        image: uint8 [H, W, 3] BGR; boxes: [K, 4], [K, 5] or [K, 8] as in `draw_boxes`.
    """
    canvas = as_bgr(image)
    thickness = max(2, round(max(canvas.shape[:2]) / 500))
    dash = 4 + 4 * thickness
    for polygon in map(_pixels, box_corners(boxes)):
        line_type = _line_type(polygon)
        cv2.polylines(canvas, [polygon], True, INK, thickness, line_type)
        for start, end in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            steps = max(1, int(np.hypot(*(end - start)) / dash))
            knots = start + (end - start) * np.linspace(0, 1, 2 * steps)[:, None]
            dashes = list(_pixels(knots).reshape(-1, 2, 2))
            cv2.polylines(canvas, dashes, False, color, thickness, line_type)
    return canvas


def box_corners(boxes: np.ndarray) -> np.ndarray:
    """[K, 4, 2] x, y of the four corners, in order around the box; see `shapes_to_polys`."""
    return shapes_to_polys(boxes).reshape(-1, 4, 2)


def _check(
    corners: np.ndarray, labels: np.ndarray, scores: np.ndarray | None, classes: Sequence[str] | None
) -> None:
    if len(labels) != len(corners) or (scores is not None and len(scores) != len(corners)):
        count = "no" if scores is None else len(scores)
        raise DataError(f"{len(corners)} boxes come with {len(labels)} labels and {count} scores.")
    if classes is not None and len(labels) and not 0 <= labels.min() <= labels.max() < len(classes):
        raise DataError(
            f"labels reach from {labels.min()} to {labels.max()}, but there are {len(classes)} classes."
        )


def _pixels(points: np.ndarray) -> np.ndarray:
    # Far outside values overflow OpenCV's 32-bit coordinates.
    return np.clip(np.round(points), -30000, 30000).astype(np.int32)


def _line_type(polygon: np.ndarray) -> int:
    # Smoothing would only blur the edges of an upright box.
    is_upright = (np.diff(polygon, axis=0) == 0).any(1).all()
    return cv2.LINE_8 if is_upright else cv2.LINE_AA


def _caption(index: int, labels: np.ndarray, scores: np.ndarray | None, classes: Sequence[str] | None) -> str:
    label = int(labels[index])
    name = str(label) if classes is None else classes[label]
    return name if scores is None else f"{name} {float(scores[index]):.2f}"


def _write_tags(canvas: np.ndarray, tags: list[tuple[np.ndarray, str, Color]], scale: float) -> None:
    """Tags, most important first; each takes the first free place around its box or is left out.

    In a crowd they would hide what they name: the first few are written whatever they cover, then only as
    long as all together stay below a share of the picture.
    """
    taken: list[tuple[int, int, int, int]] = []
    room = TAGGED_SHARE * canvas.shape[0] * canvas.shape[1]
    for corners, text, color in tags:
        width, height, depth = text_size(text, scale)
        width, height = width + 6, height + depth + 4
        covered = sum((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in taken)
        if len(taken) >= MIN_TAGS and covered + width * height > room:
            break
        x1, y1 = corners.min(0)
        x2, y2 = corners.max(0)
        places = [
            (x1, y1 - height),
            (x1, y1),
            (x1, y2),
            (x2 - width, y1 - height),
            (x2 - width, y2),
            (x1, y2 - height),
        ]
        place = _free_place(places, (width, height), canvas.shape[:2], taken)
        if place is None:
            continue
        x, y = place
        taken.append((x, y, x + width, y + height))
        cv2.rectangle(canvas, (x, y), (x + width - 1, y + height - 1), color, -1)
        put_text(canvas, text, (x + 3, y + 3), scale=scale, color=contrast_color(color))


def _free_place(
    places: list[tuple[float, float]],
    size: tuple[int, int],
    limits: tuple[int, int],
    taken: list[tuple[int, int, int, int]],
) -> tuple[int, int] | None:
    width, height = size
    for x, y in places:
        x = int(np.clip(round(x), 0, max(0, limits[1] - width)))
        if not 0 <= y <= limits[0] - height:
            continue
        y = round(y)
        if all(x + width <= a or x >= c or y + height <= b or y >= d for a, b, c, d in taken):
            return x, y
    return None
