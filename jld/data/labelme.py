"""Json files of labelme and its descendants (X-AnyLabeling): one for each image, usually beside it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jld.data import json_files as json
from jld.data import values
from jld.data.account import Losses, Tally
from jld.data.cvat import polygon_entry
from jld.data.file_names import as_stored, files_of_kind
from jld.data.images import BrokenImageError, ImageReader, list_images
from jld.data.problems import Problem, error, warning
from jld.data.text_files import read_list
from jld.errors import DataError

NAMES_FILE = "labels.txt"
NO_CLASSES = ("__ignore__", "_background_")
"""Lines of labelme's `labels.txt` that name no class of objects."""
POLYGONS = ("polygon", "rotation", "oriented_rectangle")


def read_labelme_folder(
    folder: Path, images: Path, reader: ImageReader
) -> tuple[dict[str, Any], list[Problem], Losses]:
    """The content of the files as that of a COCO json, what is wrong with them, and what is not in it.

    Rectangles, circles (the squares around them), polygons and rotated rectangles are read; shapes of one
    label and `group_id` are one object. `difficult`, as a key or among the `flags`, makes a crowd. Classes
    are those of `labels.txt` in the folder, then all others by name. Images without a file are left out.

    Args:
        folder: of the json files, searched with its subfolders.
        images: folder of the images.
        reader: tells sizes that are not in a file.
    Raises:
        DataError: there is no json file, or none that is labelme's.
    """
    files = [file for file in files_of_kind(folder, ".json") if not file.name.startswith(".")]
    if not files:
        raise DataError(f"{folder}: holds no json file of labelme.")
    content: dict[str, Any] = {"images": [], "annotations": []}
    problems: list[Problem] = []
    lost, objects = Losses(), []
    for file in files:
        try:
            image, found, unread, wrong = _read_file(file, images, reader)
        except (BrokenImageError, DataError) as problem:
            problems.append(error(str(problem)))
            lost.images.add("that cannot be used", file)
            continue
        problems += wrong
        lost.objects.update(unread)
        content["images"].append(image)
        objects += found
    labels = folder / NAMES_FILE
    listed = read_list(labels, "list of classes") if labels.is_file() else []
    listed = [name for name in dict.fromkeys(listed) if name not in NO_CLASSES]
    others = sorted({each["label"] for each in objects} - set(listed))
    numbers = {name: number for number, name in enumerate([*listed, *others])}
    content["categories"] = [{"id": number, "name": name} for name, number in numbers.items()]
    content["annotations"] = [{**each, "category_id": numbers[each.pop("label")]} for each in objects]
    used = {images / image["file_name"] for image in content["images"]}
    unlabelled = [file for file in list_images(images) if file not in used] if images.is_dir() else []
    if unlabelled:
        text = f"{len(unlabelled)} images without a json file are left out, first: {unlabelled[0].name}."
        problems.append(warning(text, images))
        lost.images.add("without a json file", unlabelled[0].name, len(unlabelled))
    kinds = {reason: count for reason, count in lost.objects.counts.items() if "of the kind" in reason}
    problems += [warning(f"passes over {count} objects {reason}.", folder) for reason, count in kinds.items()]
    return content, problems, lost


def _read_file(
    file: Path, images: Path, reader: ImageReader
) -> tuple[dict[str, Any], list[dict[str, Any]], Tally, list[Problem]]:
    """(image, objects, shapes that are not read, problems) of one file."""
    content = json.read_json(file, "annotation file")
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise DataError(f"{file}: is no file of labelme, which has a list of shapes.")
    columns, _, problems = json.read_columns([content], FILE_FIELDS, "file", file)
    if problems:
        raise DataError(str(problems[0]).replace("file[0]: ", ""))
    (name,), (height,), (width,) = columns["imagePath"], columns["imageHeight"], columns["imageWidth"]
    place = _image_file(file, name, images)
    if not height or not width:
        height, width = reader.size(images / place)
    image = {"id": place, "file_name": place, "height": height, "width": width}
    shapes, kept, wrong = json.read_columns(content["shapes"], SHAPE_FIELDS, "shapes", file)
    unread = Tally()
    objects: dict[Any, dict[str, Any]] = {}
    unread.add("that cannot be used", file, len(content["shapes"]) - len(kept))
    for row, index in enumerate(kept):
        each = {key: column[row] for key, column in shapes.items()}
        where = f"{file}: shapes[{index}]"
        try:
            entry = _entry(each)
        except ValueError as problem:
            wrong.append(error(f"shapes[{index}] {problem}.", file))
            unread.add("that cannot be used", where)
            continue
        if entry is None:
            unread.add(f"of the kind {each['shape_type']}, which is no box", where)
            continue
        key = index if each["group_id"] is None else (each["group_id"], each["label"])
        entry |= {"id": where, "image_id": place, "label": each["label"]}
        objects[key] = _joined(objects[key], entry) if key in objects else entry
    return image, list(objects.values()), unread, wrong


def _image_file(file: Path, name: str, images: Path) -> str:
    """The image of a file, relative to the folder of images; `imagePath` is stale where files were moved."""
    written = file.parent / name.replace("\\", "/")
    places = (written, file.with_suffix(written.suffix), images / as_stored(written.name, images))
    return os.path.relpath(next((place for place in places if place.is_file()), written), images)


def _entry(shape: Mapping[str, Any]) -> dict[str, Any] | None:
    """Box and polygon of a shape; None where it is no area."""
    kind, points = shape["shape_type"], shape["points"]
    needed = {**dict.fromkeys(POLYGONS, 3), "rectangle": 2, "mask": 2, "circle": 2}.get(kind)
    if needed is None:
        return None
    if len(points) < needed:
        raise ValueError(f"is a {kind} of {len(points)} points, but needs {needed}")
    if kind == "circle":
        (x, y), edge = points[:2]
        radius = math.dist((x, y), edge)
        points = [[x - radius, y - radius], [x + radius, y + radius]]
    entry = polygon_entry(points)
    if kind not in POLYGONS:
        del entry["segmentation"]
    return {**entry, "iscrowd": int(shape["difficult"] or shape["flags"])}


def _joined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two parts of one object."""
    parts = [
        part for each in (first, second) for part in each.get("segmentation") or [_corners(each["bbox"])]
    ]
    points = [[x, y] for part in parts for x, y in zip(part[::2], part[1::2], strict=True)]
    is_crowd = int(first["iscrowd"] or second["iscrowd"])
    return {**first, **polygon_entry(points), "segmentation": parts, "iscrowd": is_crowd}


def _corners(box: Sequence[float]) -> list[float]:
    x, y, width, height = box
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def _points(value: Any) -> list[list[float]]:
    is_list = isinstance(value, list) and all(isinstance(point, list) and len(point) == 2 for point in value)
    if not is_list:
        raise ValueError(f"is {values.shown(value)}, but must be [[x, y], ...]")
    return [[values.json_number(number) for number in point] for point in value]


def _difficult(value: Any) -> bool:
    if not isinstance(value, dict):
        raise ValueError(f"is {values.shown(value)}, but must be an object")
    try:
        return values.flag(value.get("difficult"))
    except ValueError as problem:
        raise ValueError(f"hold a difficult that {problem}") from None


FILE_FIELDS = {
    "imagePath": json.FILE_NAME,
    "imageHeight": json.Field(values.side, None),
    "imageWidth": json.Field(values.side, None),
}
SHAPE_FIELDS = {
    "label": json.TEXT,
    "points": json.Field(_points),
    "shape_type": json.Field(values.text, "polygon"),
    "group_id": json.Field(values.identifier, None),
    "difficult": json.FLAG,
    "flags": json.Field(_difficult, False),
}
