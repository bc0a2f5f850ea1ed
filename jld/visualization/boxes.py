"""Boxes over images: detections and ground truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jld.boxes.rotated import shapes_to_polys
from jld.errors import DataError
from jld.visualization.canvas import INK, TRUTH, Color, class_color, text_size
from jld.visualization.fonts import font_file
from jld.visualization.marks import Line, Mark, Tag, paint

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
        image: uint8 [H, W, 3] BGR; the rest: see `box_marks`.
    Returns:
        uint8 [H, W, 3] BGR.
    Raises:
        DataError: see `box_marks`, or no such image.
    """
    marks = box_marks(
        np.shape(image)[:2],
        boxes,
        labels,
        scores,
        classes=classes,
        score_threshold=score_threshold,
        thickness=thickness,
        with_text=with_text,
    )
    return paint(image, marks)


def box_marks(
    shape: Sequence[int],
    boxes: np.ndarray,
    labels: np.ndarray | None = None,
    scores: np.ndarray | None = None,
    *,
    classes: Sequence[str] | None = None,
    score_threshold: float = 0.0,
    thickness: int | None = None,
    with_text: bool = True,
    color: Color | None = None,
) -> list[Mark]:
    """The lines and tags of boxes, whose sizes follow that of the image.

    Args:
        shape: (height, width) of the image, px.
        boxes: [K, 4] xyxy px, [K, 5] centre x, centre y, width, height, angle (radians, clockwise on
            screen), with a line from the centre in the direction of the angle, or [K, 8] four corners x, y.
        labels: [K] 0-based; None: all 0.
        scores: [K] in 0..1; the best is drawn last, on top. None: no scores are written.
        classes: names of the labels; None: the numbers are written, as where no font has the characters.
        score_threshold: boxes scored below are left out.
        thickness: line width in px; None: by the image size.
        with_text: whether to write names and scores.
        color: BGR of all boxes; None: that of the class.
    Raises:
        DataError: array lengths differ, boxes have another width, or a label has no class.
    """
    corners = box_corners(boxes)
    labels = np.zeros(len(corners), np.int64) if labels is None else np.asarray(labels).astype(np.int64)
    _check(corners, labels, scores, classes)
    order = np.arange(len(corners)) if scores is None else np.argsort(np.asarray(scores), kind="stable")
    if scores is not None:
        order = order[np.asarray(scores)[order] >= score_threshold]
    thickness = thickness or line_thickness(shape)
    has_angles = np.shape(boxes)[1:] == (5,)
    colors = {index: color or class_color(int(labels[index])) for index in order.tolist()}
    marks: list[Mark] = []
    for index, own in colors.items():
        marks.append(Line(corners[index], own, thickness))
        if has_angles:
            # From the centre to the middle of the edge that the angle points at: corners 1 and 2.
            pointer = np.stack([corners[index].mean(0), corners[index][1:3].mean(0)])
            marks.append(Line(pointer, own, thickness, is_closed=False))
    if with_text:
        captions = [
            (corners[k], _caption(k, labels, scores, classes), own) for k, own in reversed(colors.items())
        ]
        marks += tags(shape, captions)
    return marks


def line_thickness(shape: Sequence[int]) -> int:
    """Width of a box's line in px, in an image of (height, width) px."""
    return max(1, round(max(shape) / 320))


def draw_truth_outline(image: np.ndarray, boxes: np.ndarray, *, color: Color = TRUTH) -> np.ndarray:
    """Dashed outlines on a dark line, without text: ground truth that stays visible on any picture.

    Args:
        image: uint8 [H, W, 3] BGR; boxes: [K, 4], [K, 5] or [K, 8] as in `draw_boxes`.
    """
    return paint(image, outline_marks(np.shape(image)[:2], boxes, color=color))


def outline_marks(shape: Sequence[int], boxes: np.ndarray, *, color: Color = TRUTH) -> list[Mark]:
    """See `draw_truth_outline`; `shape` is that of the image, (height, width) px."""
    thickness = max(2, round(max(shape) / 500))
    marks: list[Mark] = []
    for corners in box_corners(boxes):
        marks.append(Line(corners, INK, thickness))
        marks.append(Line(corners, color, thickness, dash=4 + 4 * thickness))
    return marks


def box_corners(boxes: np.ndarray) -> np.ndarray:
    """[K, 4, 2] x, y of the four corners, in order around the box; see `shapes_to_polys`."""
    return shapes_to_polys(boxes).reshape(-1, 4, 2)


def scaled(boxes: np.ndarray, factor: float) -> np.ndarray:
    """Boxes [K, 4], [K, 5] or [K, 8] in an image that is `factor` times as large; angles stay."""
    boxes = np.asarray(boxes, np.float64)
    factors = [factor] * 4 + [1.0] if boxes.shape[-1] == 5 else [factor]
    return boxes * np.array(factors)


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


def class_name(label: int, classes: Sequence[str] | None) -> str:
    """The name of a class as it is written; its number without names, or where no font has the characters."""
    return str(label) if classes is None or font_file(classes[label]) is None else classes[label]


def _caption(index: int, labels: np.ndarray, scores: np.ndarray | None, classes: Sequence[str] | None) -> str:
    label = int(labels[index])
    name = class_name(label, classes)
    return name if scores is None else f"{name} {float(scores[index]):.2f}"


def tags(shape: Sequence[int], captions: list[tuple[np.ndarray, str, Color]]) -> list[Mark]:
    """Tags of boxes, most important first; each takes the first free place around its box or is left out.

    In a crowd they would hide what they name: the first few are written whatever they cover, then only as
    long as all together stay below a share of the picture.

    Args:
        shape: (height, width) of the image, px.
        captions: (corners [4, 2], text, colour) of each box.
    """
    scale, made = max(0.35, max(shape) / 1600), []
    taken: list[tuple[int, int, int, int]] = []
    room = TAGGED_SHARE * shape[0] * shape[1]
    for corners, text, color in captions:
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
        place = _free_place(places, (width, height), (shape[0], shape[1]), taken)
        if place is None:
            continue
        x, y = place
        taken.append((x, y, x + width, y + height))
        made.append(Tag((x, y, width, height), text, color, scale))
    return made


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
