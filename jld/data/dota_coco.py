"""Rotated boxes of COCO, CVAT and labelme: rectangles with an angle beside them, polygons, upright boxes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from jld.boxes.rotated import rboxes_to_polys
from jld.data import json_files as json
from jld.data import values
from jld.data.account import Losses, Tally
from jld.data.annotation_files import read_annotations
from jld.data.box_readings import CORNER_SIZE, misread
from jld.data.coco_table import ANNOTATION_FIELDS, IMAGE_FIELDS, read_categories
from jld.data.file_names import portable, repeated
from jld.data.images import ImageReader
from jld.data.oriented import OrientedTable, oriented_table
from jld.data.problems import Problem, error, warning
from jld.data.tables import ReadTable

MANY_ANGLES = 10
CORNERS = 8
"""Numbers of a polygon that is taken as it is."""


def read_oriented_annotations(
    images: Path, path: Path, wanted: tuple[str, ...] | None, options: Mapping[str, Any], reader: ImageReader
) -> tuple[ReadTable, tuple[str, ...]]:
    """(table, class names) of what `read_annotations` reads; of each object the first of these that it has:

    - `attributes.rotation` or `rotation` beside `bbox`, as CVAT writes it: degrees, clockwise;
    - `segmentation` with four corners, taken as they are; other polygons get the smallest rotated rectangle
      around them, and a line says so;
    - `bbox`, upright, and a line says so.

    Crowds and objects marked `ignore` are difficult.

    Args:
        images: folder that `file_name` is relative to.
        path: the file, or the folder of labelme's files.
        wanted: names in the order of the labels; None takes all categories, in the order of the file.
        options: `angle_version` and `difficult` of `oriented_table`.
        reader: tells sizes that are not in a file.
    Raises:
        DataError: the annotations cannot be used at all.
    """
    content, problems, lost = read_annotations(path, images, reader, needs_annotations=False)
    categories, found = read_categories(content["categories"], wanted, path)
    problems += found
    before = lost.objects.total
    rows, position = _images(content["images"], images, path, problems, lost)
    fields = {
        **ANNOTATION_FIELDS,
        "bbox": json.Field(json.BOX.read, None, json.BOX.is_plain),
        "segmentation": json.Field(_points, None),
    }
    entries = content["annotations"]
    columns, kept, found = json.read_columns(entries, fields, "annotations", path)
    problems += found
    objects: list[list[tuple[Any, int, bool]]] = [[] for _ in rows]
    made = Tally()
    for row, index in enumerate(kept):
        each = {key: column[row] for key, column in columns.items()}
        name = f"annotation {values.shown(entries[index].get('id'))}"
        image, label = position.get(each["image_id"]), categories.label_of.get(each["category_id"])
        try:
            if image is None or label is None:
                key = "category_id" if label is None else "image_id"
                raise ValueError(f"has the {key} {each[key]}, which the file does not list")
            shape = _shape(each, _rotation(entries[index]), made, name)
        except ValueError as problem:
            problems.append(error(f"{name} {problem}.", path))
            continue
        if label < 0:
            category = categories.name_of[each["category_id"]]
            lost.objects.add(f"of the category {category}, which is not wanted", name)
        else:
            objects[image].append((shape, label, each["iscrowd"] or each["ignore"]))
    problems += [warning(f"holds {made}.", path)] if made.total else []
    problems += _doubts(rows, objects, path)
    unusable = len(entries) - sum(map(len, objects)) - (lost.objects.total - before)
    lost.objects.add("that cannot be used", "see the errors", unusable)
    return ReadTable(_table(rows, objects, options), problems, lost), categories.names


def _doubts(rows: list, objects: list[list[tuple[Any, int, bool]]], path: Path) -> list[Problem]:
    """What all rectangles together say about their form and the unit of their angles."""
    boxes = [
        (*shape, *size[::-1])
        for (_, _, size), each in zip(rows, objects, strict=True)
        for shape, _, _ in each
        if len(shape) != CORNERS
    ]
    table = np.array(boxes, np.float64).reshape(-1, 7)
    numbers = np.concatenate([table[:, :2] - table[:, 2:4] / 2, table[:, 2:4]], axis=1)
    said = misread(numbers, table[:, 5:], CORNER_SIZE)
    degrees = np.abs(np.degrees(table[table[:, 4] != 0, 4]))
    problems = [error(said, path)] if said else []
    if len(degrees) >= MANY_ANGLES and degrees.max() < 2 * math.pi:
        text = (
            f"holds {len(degrees)} rotated rectangles, all by less than 6.3: their angles are read in degrees"
        )
        problems.append(warning(f"{text}; are they radians?", path))
    return problems


def _table(
    rows: list, objects: list[list[tuple[Any, int, bool]]], options: Mapping[str, Any]
) -> OrientedTable:
    shapes = [shape for each in objects for shape, _, _ in each]
    is_rbox = np.array([len(shape) != CORNERS for shape in shapes], bool)
    polys = np.empty((len(shapes), CORNERS))
    # All at once: one by one they take longer than the reading.
    rboxes = np.array([shape for shape in shapes if len(shape) != CORNERS], np.float64)
    polys[is_rbox] = rboxes_to_polys(rboxes.reshape(-1, 5)).reshape(-1, CORNERS)
    polys[~is_rbox] = np.array([shape for shape in shapes if len(shape) == CORNERS]).reshape(-1, CORNERS)
    return oriented_table(
        rows,
        np.split(polys, np.cumsum([len(each) for each in objects])[:-1])[: len(rows)],
        [np.array([label for _, label, _ in each], np.int64) for each in objects],
        [np.array([flag for _, _, flag in each], np.int64) for each in objects],
        **options,
    )


def _images(
    entries: list, folder: Path, path: Path, problems: list[Problem], lost: Losses
) -> tuple[list[tuple[str, str, tuple[int, int]]], dict[Any, int]]:
    """(identifier, file, size) of the images, and the row of each `id`; problems and losses are added."""
    columns, kept, found = json.read_columns(entries, IMAGE_FIELDS, "images", path)
    names, backslashes = portable(columns["file_name"], folder, path)
    places = [f"images[{index}]" for index in kept]
    again, repetitions = repeated(names, places, path)
    same_stem, ambiguous = repeated([Path(name).stem for name in names], places, path)
    problems += found + backslashes + (repetitions or ambiguous)
    rows: list[tuple[str, str, tuple[int, int]]] = []
    position: dict[Any, int] = {}
    for index, (identity, name) in enumerate(zip(columns["id"], names, strict=True)):
        if identity in position:
            problems.append(error(f"{places[index]} has the id {identity} of an earlier image.", path))
        elif index not in again | same_stem:
            position[identity] = len(rows)
            size = columns["height"][index], columns["width"][index]
            rows.append((Path(name).stem, str(folder / name), size))
    lost.images.add("that cannot be used", "see the errors", len(entries) - len(rows))
    return rows, position


def _points(value: Any) -> list[float] | None:
    """The points of a polygon, or of all parts of one, as x, y, x, y, ...; None for a mask in run lengths.

    Raises:
        ValueError: no polygon.
    """
    if isinstance(value, dict) or value == []:
        return None
    parts = value if isinstance(value, list) and all(isinstance(part, list) for part in value) else [value]
    if not all(isinstance(part, list) and len(part) >= 6 and len(part) % 2 == 0 for part in parts):
        raise ValueError(f"is {values.shown(value)}, but must be polygons [x1, y1, x2, y2, x3, y3, ...]")
    return [values.json_number(number) for number in chain.from_iterable(parts)]


def _rotation(entry: Mapping[str, Any]) -> float:
    """Degrees; 0 where the entry has no angle."""
    attributes = entry.get("attributes")
    angle = attributes.get("rotation") if isinstance(attributes, dict) else entry.get("rotation")
    try:
        return 0.0 if angle is None else values.number(angle)
    except ValueError as problem:
        raise ValueError(f"has a rotation that {problem}") from None


def _shape(each: Mapping[str, Any], degrees: float, made: Tally, name: str) -> Sequence[float] | np.ndarray:
    """The four corners of an object, or its rotated box; what had to be guessed is counted in `made`."""
    points, box = each["segmentation"], each["bbox"]
    if points is not None and not degrees:
        if len(points) == CORNERS:
            return points
        made.add("polygons, which become the smallest rotated rectangles around them", name)
        return cv2.boxPoints(cv2.minAreaRect(np.array(points, np.float32).reshape(-1, 2))).reshape(-1)
    if box is None:
        raise ValueError("has neither a polygon nor a bbox")
    x, y, width, height = box
    if not all(map(math.isfinite, box)) or min(width, height) < 0:
        raise ValueError(f"has the box {box} with a negative or non-finite side")
    if not degrees:
        made.add("objects with neither angle nor polygon, which stay upright", name)
    return [x + width / 2, y + height / 2, width, height, math.radians(degrees)]
