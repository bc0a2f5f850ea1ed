"""Datasets in the COCO layout: a folder of images and one json file. Read with json and numpy alone."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.data.dataset import AnnotationTable, DetectionDataset, drop_images, usable_boxes
from jld.data.problems import Problem, error, raise_errors, warning
from jld.data.results import write_coco_results
from jld.errors import ConfigError, DataError, suggestion
from jld.registry import DATASETS

BORDER_TOLERANCE = 1.0
"""Annotation tools round; a box this many px outside of its image is not worth a line."""


@DATASETS.register
class COCODataset(DetectionDataset):
    """Images and boxes from a COCO json file.

    Crowd boxes become `boxes_ignore`; boxes below 1 px, without area or outside the image are dropped in
    training and kept for evaluation; categories that are not wanted are passed over.

    Args:
        root: folder that `file_name` in the json is relative to (alias: `images_dir`).
        anno_file: the json file, as a path or relative to `root` (alias: `annotations_file`).
        transforms: built transforms, in order.
        classes: which categories, and in which order they are numbered: a list of names, one name, or a text
            file with a name per line. Default: all of the json, in its order.
        filter_empty_gt: leave out images without any annotation of these classes, and images with a side
            below `min_size`. False keeps every image: for evaluation, and to train on images without objects.
        min_size: px, see above.
        times: how often one epoch visits each image.
        strict: False collects errors in `problems` instead of raising them; what they touch is dropped.
    Raises:
        DataError: the json cannot be used; lists every reason.
    Differs: labels follow the order of `classes`; mmDetection 2 numbers them in the order of the json.
    """

    def __init__(
        self,
        root: str | None = None,
        anno_file: str | None = None,
        transforms: Iterable[Callable] | None = None,
        classes: str | Sequence[str] | None = None,
        *,
        filter_empty_gt: bool = True,
        min_size: int = 32,
        times: int = 1,
        strict: bool = True,
        images_dir: str | None = None,
        annotations_file: str | None = None,
    ):
        folder = Path(_one_of("COCODataset", root=root, images_dir=images_dir))
        given = _one_of("COCODataset", anno_file=anno_file, annotations_file=annotations_file)
        self.anno_file = find_annotations(folder, given)
        content = read_coco_json(self.anno_file, needs_annotations=filter_empty_gt)
        names = class_names(classes)
        self.category_ids, names = _choose_categories(content["categories"], names, self.anno_file)
        table, problems = _fill_table(content, self.category_ids, folder, self.anno_file)
        if strict:
            raise_errors(problems, str(self.anno_file))
        table = drop_images(table, str(self.anno_file), min_size=min_size, filter_empty_gt=filter_empty_gt)
        super().__init__(table, names, transforms, problems, times=times)

    def write_results(self, detections: Sequence[Detections], folder: Path) -> Path:
        """`detections.bbox.json`, see `write_coco_results`."""
        return write_coco_results(detections, self.category_ids, folder / "detections.bbox.json")


def _one_of(owner: str, **values: str | None) -> str:
    given = [value for value in values.values() if value is not None]
    if len(given) != 1:
        raise ConfigError(f"{owner} needs exactly one of {' and '.join(values)}.")
    return str(given[0])


def class_names(classes: str | Sequence[str] | None) -> tuple[str, ...] | None:
    """Class names from a list, a single name, or a text file with one name per line; None stays None.

    Raises:
        ConfigError: no name, or a name twice.
    """
    if classes is None:
        return None
    if isinstance(classes, str):
        path = Path(classes)
        names = (
            [line.strip() for line in path.read_text("utf-8").splitlines()] if path.is_file() else [classes]
        )
        classes = [name for name in names if name]
    if not classes or len(set(classes)) != len(classes):
        raise ConfigError(f"classes is {list(classes)!r}: give at least one name, and each name once.")
    return tuple(classes)


def find_annotations(folder: Path, given: str) -> Path:
    """The annotation file as it is given, or below the image folder.

    Raises:
        DataError: it is in neither place.
    """
    for path in (Path(given), folder / given):
        if path.is_file():
            return path
    raise DataError(f"annotation file {given} does not exist, neither as it stands nor below {folder}.")


def read_coco_json(path: Path, *, needs_annotations: bool = True) -> dict[str, Any]:
    """The parsed file, with its three lists made sure of.

    Args:
        path: json file.
        needs_annotations: False also accepts a file without annotations, as test sets have.
    Raises:
        DataError: no valid json (with line and column), or one of the lists is missing or empty.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except json.JSONDecodeError as problem:
        raise DataError(
            f"{path}:{problem.lineno}: no valid json, {problem.msg} at column {problem.colno}."
        ) from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: no valid json, the file is not UTF-8 text.") from None
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected an object with images, annotations and categories at the top.")
    if not needs_annotations:
        content.setdefault("annotations", [])
    for key in ("images", "categories", "annotations"):
        may_be_empty = key == "annotations" and not needs_annotations
        if not isinstance(content.get(key), list) or not (content[key] or may_be_empty):
            raise DataError(f"{path}: the list {key!r} is missing or empty.")
    return content


def _choose_categories(
    categories: list[dict], names: tuple[str, ...] | None, path: Path
) -> tuple[tuple[int, ...], tuple[str, ...]]:
    try:
        by_name = {category["name"]: category["id"] for category in categories}
    except (TypeError, KeyError):
        raise DataError(f"{path}: every entry of 'categories' needs a name and an id.") from None
    unknown = [
        error(f"has no category {name!r}: {suggestion(name, by_name)}", path)
        for name in names or ()
        if name not in by_name
    ]
    raise_errors(unknown, str(path))
    names = names or tuple(by_name)
    return tuple(by_name[name] for name in names), names


def _fill_table(
    content: dict, category_ids: Sequence[int], folder: Path, path: Path
) -> tuple[AnnotationTable, list[Problem]]:
    images, problems = _usable_images(content["images"], path)
    known_ids = {category["id"] for category in content["categories"]}
    position = {image["id"]: index for index, image in enumerate(images)}
    rows = _numeric_rows(content["annotations"], position, known_ids, path, problems)
    sizes = np.array([[image["height"], image["width"]] for image in images], np.int64).reshape(-1, 2)
    _check_boxes(rows, images, sizes, path, problems)

    label_of = {category_id: label for label, category_id in enumerate(category_ids)}
    labels = np.array([label_of.get(category_id, -1) for category_id in rows["category"]], np.int64)
    wanted = np.flatnonzero((labels >= 0) & ~rows["broken"])
    order = wanted[np.argsort(rows["image"][wanted], kind="stable")]
    owner, boxes, areas = rows["image"][order], rows["boxes"][order], rows["area"][order]
    counts = np.bincount(owner, minlength=len(images))
    table = AnnotationTable(
        image_ids=tuple(image["id"] for image in images),
        image_files=tuple(str(folder / image["file_name"]) for image in images),
        sizes=sizes,
        offsets=np.concatenate([[0], np.cumsum(counts)]),
        boxes=boxes,
        labels=labels[order],
        areas=areas,
        is_crowd=rows["crowd"][order],
        is_difficult=np.zeros(len(order), bool),
        is_usable=usable_boxes(boxes, areas, sizes[owner]) & ~rows["ignore"][order],
    )
    return table, problems


def _usable_images(images: list[dict], path: Path) -> tuple[list[dict], list[Problem]]:
    usable, problems, seen = [], [], set()
    for index, image in enumerate(images):
        missing = [key for key in ("id", "file_name", "width", "height") if key not in image]
        if missing:
            problems.append(error(f"images[{index}] lacks {', '.join(missing)}.", path))
        elif image["id"] in seen:
            problems.append(error(f"images[{index}] has the id {image['id']} of an earlier image.", path))
        else:
            seen.add(image["id"])
            usable.append(image)
    return usable, problems


def _numeric_rows(
    annotations: list[dict], position: dict, known_ids: set, path: Path, problems: list[Problem]
) -> dict[str, Any]:
    # Columns of plain numbers are checked at once later; only what does not fit into a column is looked at
    # here.
    good, boxes = [], []
    for index, annotation in enumerate(annotations):
        reason = _reason_against(annotation, position, known_ids)
        if reason:
            problems.append(error(f"annotations[{index}] (id {annotation.get('id')}) {reason}", path))
            continue
        x, y, width, height = annotation["bbox"]
        good.append(annotation)
        boxes.append((x, y, width, height))
    xywh = np.array(boxes, np.float64).reshape(-1, 4)
    default_areas = (xywh[:, 2] * xywh[:, 3]).tolist()
    return {
        "id": [annotation.get("id") for annotation in good],
        "image": np.array([position[annotation["image_id"]] for annotation in good], np.int64),
        "category": [annotation["category_id"] for annotation in good],
        "xywh": xywh,
        "boxes": np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1),
        "area": np.array(
            [a.get("area", area) for a, area in zip(good, default_areas, strict=True)], np.float64
        ),
        "crowd": np.array([bool(annotation.get("iscrowd", 0)) for annotation in good], bool),
        "ignore": np.array([bool(annotation.get("ignore", 0)) for annotation in good], bool),
        "broken": np.zeros(len(good), bool),
    }


def _reason_against(annotation: dict, position: dict, known_ids: set) -> str | None:
    if annotation.get("image_id") not in position:
        return f"belongs to image_id {annotation.get('image_id')}, which is not among the images."
    if annotation.get("category_id") not in known_ids:
        known = ", ".join(map(str, sorted(known_ids)[:8]))
        return f"has category_id {annotation.get('category_id')}; the categories have the ids {known}, ..."
    box = annotation.get("bbox")
    if not isinstance(box, list | tuple) or len(box) != 4:
        return f"has the bbox {box!r}, but needs [x, y, width, height]."
    if not all(isinstance(number, int | float) for number in box):
        return f"has the bbox {box!r}, which is not made of four numbers."
    return None


def _check_boxes(
    rows: dict[str, Any], images: list[dict], sizes: np.ndarray, path: Path, problems: list[Problem]
) -> None:
    limits = sizes[rows["image"]][:, ::-1]
    xy, wh, far = rows["boxes"][:, :2], rows["xywh"][:, 2:], rows["boxes"][:, 2:]
    inside = np.minimum(far, limits) - np.maximum(xy, 0)
    unreadable = ~np.isfinite(rows["xywh"]).all(axis=1) | (wh < 0).any(axis=1)
    tiny = (wh < 1).any(axis=1) & ~unreadable
    outside = (inside <= 0).any(axis=1) & ~unreadable & ~tiny
    crossing = ((xy < -BORDER_TOLERANCE) | (far > limits + BORDER_TOLERANCE)).any(axis=1)
    rows["broken"] = unreadable
    findings = (
        (unreadable, error, "has a negative or non-finite side"),
        (outside, error, "lies outside its image"),
        (tiny, warning, "is less than 1 px wide or high and is not trained on"),
        (crossing & ~outside & ~unreadable & ~tiny, warning, "reaches beyond its image and is clipped"),
    )
    for mask, make, text in findings:
        for row in np.flatnonzero(mask):
            image = images[rows["image"][row]]
            box = [round(float(value), 2) for value in rows["xywh"][row]]
            place = f"image {image['file_name']}, {image['width']}x{image['height']} px"
            problems.append(
                make(f"annotation {rows['id'][row]}: box {box} (x, y, w, h) {text} ({place}).", path)
            )
