"""The table of annotations of a COCO json file, with everything that is wrong with it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from jld.data import json_files as json
from jld.data import values
from jld.data.box_readings import CENTER_SIZE, CORNER_SIZE, misread
from jld.data.classes import folded
from jld.data.coco_masks import mask_findings, read_masks
from jld.data.file_names import portable, repeated
from jld.data.problems import Problem, error, raise_errors, warning
from jld.data.tables import BORDER_TOLERANCE, AnnotationTable, ReadTable, usable_boxes
from jld.errors import DataError, suggestion

IMAGE_FIELDS = {
    "id": json.IDENTIFIER, "file_name": json.FILE_NAME, "width": json.SIDE, "height": json.SIDE,
}  # fmt: skip
CATEGORY_FIELDS = {"id": json.Field(values.whole_identifier), "name": json.TEXT}
ANNOTATION_FIELDS = {
    "image_id": json.IDENTIFIER, "category_id": json.IDENTIFIER, "bbox": json.BOX, "area": json.AREA,
    "iscrowd": json.FLAG, "ignore": json.FLAG,
}  # fmt: skip
LISTS = ("images", "categories", "annotations")
FOREIGN = {
    "a file of labelme": {"shapes"},
    "a project of VIA": {"_via_img_metadata"},
    "results of a detector": {"image_id", "score"},
    "an export of CreateML": {"image", "annotations"},
    "an export of Label Studio": {"data", "annotations"},
    "GeoJSON": {"features"},
}
"""{what else a json of labels may be: keys of its top, or of the first entry of its list}."""
LARGEST_AREA = 2.0
"""An object fills its box at most; files round, but not by this factor."""


@dataclass
class Categories:
    """The classes of a file.

    Attributes:
        names: in the order of the labels.
        ids: of each, as results name it; the first one where a name has several.
        label_of: {identifier: label, -1 where it is not wanted}.
        name_of: {identifier: name}.
    """

    names: tuple[str, ...]
    ids: tuple[int, ...]
    label_of: dict[Hashable, int]
    name_of: dict[Hashable, str]


@dataclass
class _Images:
    ids: list
    names: list[str]
    sizes: np.ndarray
    position: dict[Hashable, int]


def read_coco_json(path: Path, *, needs_annotations: bool = True) -> dict[str, Any]:
    """The parsed file, with its three lists made sure of.

    Args:
        path: json file.
        needs_annotations: False also accepts a file without annotations, as test sets have.
    Raises:
        DataError: no valid json (with line and column), or one of the lists is missing, empty or there twice.
    """
    content = json.read_json(path, "annotation file", once=LISTS)
    if not isinstance(content, dict):
        raise DataError(
            f"{path}: expected an object with images, annotations and categories at the top{_looks(content)}."
        )
    if not needs_annotations and content.get("annotations") is None:
        content["annotations"] = []
    for key in LISTS:
        may_be_empty = key == "annotations" and not needs_annotations
        if not isinstance(content.get(key), list) or not (content[key] or may_be_empty):
            raise DataError(f"{path}: the list {key!r} is missing or empty{_looks(content)}.")
    return content


def _looks(content: Any) -> str:
    first = content[0] if isinstance(content, list) and content else content
    keys = set(first) if isinstance(first, dict) else set()
    return next((f"; it looks like {name}" for name, known in FOREIGN.items() if known <= keys), "")


def read_categories(
    entries: list, wanted: tuple[str, ...] | None, path: Path
) -> tuple[Categories, list[Problem]]:
    """The classes of a file, and what is to be said about them.

    A name with several ids is one class; an id with several names cannot be told apart.

    Args:
        entries: the list `categories`.
        wanted: names in the order of the labels; None takes all, in the order of the file.
        path: the file, for messages.
    Raises:
        DataError: an entry without name or id, an id with two names, or a wanted name that is not there.
    """
    columns, _, problems = json.read_columns(entries, CATEGORY_FIELDS, "categories", path)
    ids_of: dict[str, list] = {}
    name_of: dict[Hashable, str] = {}
    for identity, name in zip(columns["id"], columns["name"], strict=True):
        if name_of.setdefault(identity, name) != name:
            text = f"gives the category id {identity} two names, {name_of[identity]!r} and {name!r}."
            problems.append(error(text, path))
        elif identity not in ids_of.setdefault(name, []):
            ids_of[name].append(identity)
    for name in wanted or ():
        if name not in ids_of:
            problems.append(error(f"has no category {name!r}: {suggestion(name, ids_of)}", path))
    raise_errors(problems, str(path))
    for name, ids in ids_of.items():
        if len(ids) > 1:
            text = (
                f"gives the category {name!r} the ids {', '.join(map(str, ids))}: they are one class here, "
            )
            problems.append(warning(f"{text}and results name it by the first.", path))
    names = wanted or tuple(ids_of)
    problems += _spellings(names, path)
    label_of = {identity: names.index(name) if name in names else -1 for identity, name in name_of.items()}
    return Categories(names, tuple(ids_of[name][0] for name in names), label_of, name_of), problems


def _spellings(names: Sequence[str], path: Path) -> list[Problem]:
    first: dict[str, str] = {}
    pairs = [(first.setdefault(folded(name).casefold(), name), name) for name in names]
    return [
        warning(f"has the categories {name!r} and {other!r}: one class in two spellings, or two?", path)
        for name, other in pairs
        if name != other
    ]


def read_table(
    content: dict,
    categories: Categories,
    folder: Path,
    path: Path,
    *,
    with_masks: bool = False,
    box_form: str = CORNER_SIZE,
) -> ReadTable:
    """Images and annotations as a table.

    Args:
        content: see `read_coco_json`.
        categories: see `read_categories`.
        folder: of the images.
        path: the json file, for messages.
        with_masks: whether the table holds the masks too.
        box_form: of the boxes in the files, for a message; those in `content` are [x, y, width, height].
    """
    images, problems = _read_images(content["images"], folder, path)
    rows, found = _read_rows(content["annotations"], images, categories, path)
    problems += (
        found
        + _check_boxes(rows, images, path, box_form)
        + _roots(content["categories"], categories, rows, path)
    )
    labels = np.array([categories.label_of[identity] for identity in rows["category_id"]], np.int64)
    wanted = np.flatnonzero((labels >= 0) & ~rows["is_broken"])
    order = wanted[np.argsort(rows["image"][wanted], kind="stable")]
    owner, boxes, areas = rows["image"][order], rows["boxes"][order], rows["area"][order]
    table = AnnotationTable(
        image_ids=tuple(images.ids),
        image_files=tuple(str(folder / name) for name in images.names),
        sizes=images.sizes,
        offsets=np.concatenate([[0], np.cumsum(np.bincount(owner, minlength=len(images.ids)))]),
        boxes=boxes,
        labels=labels[order],
        areas=areas,
        is_crowd=rows["iscrowd"][order],
        is_difficult=np.zeros(len(order), bool),
        is_usable=usable_boxes(boxes, areas, images.sizes[owner]) & ~rows["ignore"][order],
    )
    if with_masks:
        table, found = _with_masks(table, rows, order, path)
        problems += found
    read = ReadTable(table, problems)
    passed = [rows["category_id"][row] for row in np.flatnonzero((labels < 0) & ~rows["is_broken"])]
    for identity, count in Counter(passed).items():
        example = _name_row(rows, rows["category_id"].index(identity))
        reason = f"of the category {categories.name_of[identity]}, which is not wanted"
        read.lost.objects.add(reason, example, count)
    unusable = len(content["annotations"]) - len(labels) + int(rows["is_broken"].sum())
    read.lost.objects.add("that cannot be used", "see the errors", unusable)
    read.lost.images.add("that cannot be used", "see the errors", len(content["images"]) - len(table))
    return read


def _with_masks(
    table: AnnotationTable, rows: dict[str, Any], order: np.ndarray, path: Path
) -> tuple[AnnotationTable, list[Problem]]:
    """The table with the masks of its objects; `order` are their rows."""
    segmentations = [rows["entries"][row].get("segmentation") for row in order]
    sizes = np.repeat(table.sizes, np.diff(table.offsets), axis=0)

    def name(index: int) -> str:
        return _name_row(rows, order[index])

    masks, problems = read_masks(segmentations, table.boxes, sizes, name=name, path=path)
    problems += mask_findings(masks, table.is_crowd, name=name, path=path)
    return replace(table, masks=masks), problems


def _read_images(entries: list, folder: Path, path: Path) -> tuple[_Images, list[Problem]]:
    columns, kept, problems = json.read_columns(entries, IMAGE_FIELDS, "images", path)
    names, found = portable(columns["file_name"], folder, path)
    places = [f"images[{index}] (id {identity})" for index, identity in zip(kept, columns["id"], strict=True)]
    again, repetitions = repeated(names, places, path)
    problems += found + repetitions
    position: dict[Hashable, int] = {}
    chosen = []
    for row, identity in enumerate(columns["id"]):
        if identity in position:
            problems.append(error(f"images[{kept[row]}] has the id {identity} of an earlier image.", path))
        elif row not in again:
            position[identity] = len(chosen)
            chosen.append(row)
    sizes = np.array([columns["height"], columns["width"]], np.int64).T.reshape(-1, 2)[chosen]
    # Results name an image as its file does: text stays text.
    raw = [entries[kept[row]]["id"] for row in chosen]
    ids = [
        columns["id"][row] if isinstance(each, float) else each for row, each in zip(chosen, raw, strict=True)
    ]
    return _Images(ids, [names[row] for row in chosen], sizes.reshape(-1, 2), position), problems


def _read_rows(
    entries: list, images: _Images, categories: Categories, path: Path
) -> tuple[dict[str, Any], list[Problem]]:
    """Columns over the annotations that have an image and a category, as arrays where they are numbers."""
    columns, kept, problems = json.read_columns(entries, ANNOTATION_FIELDS, "annotations", path)
    position = [images.position.get(identity, -1) for identity in columns["image_id"]]
    known = [identity in categories.name_of for identity in columns["category_id"]]
    good = [row for row, place in enumerate(position) if place >= 0 and known[row]]
    if len(good) < len(kept):
        for row in sorted(set(range(len(kept))) - set(good)):
            where = f"annotations[{kept[row]}] (id {values.shown(entries[kept[row]].get('id'))})"
            if position[row] < 0:
                reason = f"belongs to image_id {columns['image_id'][row]}, which is not among the images."
            else:
                ids = ", ".join(map(str, list(categories.name_of)[:8]))
                identity = columns["category_id"][row]
                reason = f"has category_id {identity}; the categories have the ids {ids}, ..."
            problems.append(error(f"{where} {reason}", path))
        columns = {key: [column[row] for row in good] for key, column in columns.items()}
    rows: dict[str, Any] = {
        **columns,
        "entries": [entries[kept[row]] for row in good],
        "image": np.array(position, np.int64)[good],
        "xywh": np.array(columns["bbox"], np.float64).reshape(-1, 4),
        "area": np.array(columns["area"], np.float64),
        "iscrowd": np.array(columns["iscrowd"], bool),
        "ignore": np.array(columns["ignore"], bool),
    }
    problems += _fill_areas(rows, path)
    rows["boxes"] = np.concatenate([rows["xywh"][:, :2], rows["xywh"][:, :2] + rows["xywh"][:, 2:]], axis=1)
    problems += _turn_boxes(rows, path)
    return rows, problems


def _fill_areas(rows: dict[str, Any], path: Path) -> list[Problem]:
    """Where no area is stated (missing, null, 0 or less) or an impossible one, that of the box is taken."""
    xywh = rows["xywh"]
    with np.errstate(all="ignore"):  # sides that are no numbers are reported with their image
        own = xywh[:, 2] * xywh[:, 3]
        excess = (own > 0) & (rows["area"] > LARGEST_AREA * own)
    unknown = rows["area"] <= 0
    stated = [
        row for row in np.flatnonzero(unknown & (own > 0)) if rows["entries"][row].get("area") is not None
    ]
    rows["area"] = np.where(unknown | excess, own, rows["area"])
    kinds = (("of 0 or less", stated), ("far larger than the box", np.flatnonzero(excess)))
    return [
        warning(
            f"states an area {kind} for {len(found)} of its objects; width x height is taken "
            f"(first: {_name_row(rows, found[0])}).",
            path,
        )
        for kind, found in kinds
        if len(found)
    ]


def _turn_boxes(rows: dict[str, Any], path: Path) -> list[Problem]:
    """Rectangles that a tool stores unturned beside an angle (CVAT: `attributes.rotation`, degrees)."""
    turned, problems = [], []
    for row, entry in enumerate(rows["entries"]):
        attributes = entry.get("attributes")
        angle = attributes.get("rotation") if isinstance(attributes, dict) else entry.get("rotation")
        if angle is None:
            continue
        try:
            degrees = values.number(angle)
        except ValueError as problem:
            problems.append(error(f"{_name_row(rows, row)}: rotation {problem}.", path))
            continue
        if degrees % 180 and np.isfinite(rows["xywh"][row]).all():
            turned.append((row, degrees))
    if not turned:
        return problems
    index, radians = np.array([row for row, _ in turned]), np.radians([degrees for _, degrees in turned])
    x, y, width, height = rows["xywh"][index].T
    cosine, sine = np.abs(np.cos(radians)), np.abs(np.sin(radians))
    half = np.stack([width * cosine + height * sine, width * sine + height * cosine], axis=1) / 2
    center = np.stack([x + width / 2, y + height / 2], axis=1)
    rows["boxes"][index] = np.concatenate([center - half, center + half], axis=1)
    row, degrees = turned[0]
    text = (
        f"holds {len(turned)} rotated rectangles (first: {_name_row(rows, row)}, rotation {degrees:g} "
        "degrees), which become the upright boxes around them: COCODataset holds no other ones."
    )
    return [*problems, warning(text, path)]


def _roots(entries: list, categories: Categories, rows: dict[str, Any], path: Path) -> list[Problem]:
    """Names classes without objects that only stand above the others, as some exports have one."""
    used = {categories.name_of[identity] for identity in set(rows["category_id"])}
    parents = {entry.get("supercategory") for entry in entries if isinstance(entry.get("supercategory"), str)}
    roots = [name for name in categories.names if name in parents and name not in used] if used else []
    others = [name for name in categories.names if name not in roots]
    return [
        warning(
            f"has no object of the category {name!r}, which only stands above others; it is a class all the "
            f"same: leave it out with classes={others!r}.",
            path,
        )
        for name in roots
    ]


def _check_boxes(rows: dict[str, Any], images: _Images, path: Path, box_form: str) -> list[Problem]:
    limits = images.sizes[rows["image"]][:, ::-1]
    boxes, xywh = rows["boxes"], rows["xywh"]
    xy, wh, far = boxes[:, :2], xywh[:, 2:], boxes[:, 2:]
    unreadable = ~np.isfinite(xywh).all(axis=1) | (wh < 0).any(axis=1)
    rows["is_broken"] = unreadable
    if len(xywh) and not unreadable.any() and xywh.min() >= 0 and 0 < xywh.max() <= 1:
        text = f"holds {len(xywh)} boxes that all lie between 0 and 1: fractions of the image are not read, "
        return [error(f"{text}multiply them by its width and height.", path)]
    first = (xy + far) / 2 if box_form == CENTER_SIZE else xywh[:, :2]
    numbers = np.concatenate([first, wh], axis=1)[~unreadable]
    if said := misread(numbers, limits[~unreadable], box_form):
        return [error(said, path)]
    inside = np.minimum(far, limits) - np.maximum(xy, 0)
    tiny = (wh < 1).any(axis=1) & ~unreadable
    outside = (inside <= 0).any(axis=1) & ~unreadable & ~tiny
    crossing = ((xy < -BORDER_TOLERANCE) | (far > limits + BORDER_TOLERANCE)).any(axis=1)
    findings = (
        (unreadable, error, "has a negative or non-finite side"),
        (outside, error, "lies outside its image"),
        (tiny, warning, "is less than 1 px wide or high and is not trained on"),
        (crossing & ~outside & ~unreadable & ~tiny, warning, "reaches beyond its image and is clipped"),
    )
    problems = []
    for mask, make, text in findings:
        for row in np.flatnonzero(mask):
            place = rows["image"][row]
            height, width = images.sizes[place]
            box = [round(float(value), 2) for value in xywh[row]]
            where = f"image {images.names[place]}, {width}x{height} px"
            problems.append(make(f"{_name_row(rows, row)}: box {box} (x, y, w, h) {text} ({where}).", path))
    return problems


def _name_row(rows: dict[str, Any], row: int) -> str:
    return f"annotation {values.shown(rows['entries'][row].get('id'))}"
