"""Xml files of CVAT ("CVAT for images 1.1"): all images of a task in one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from jld.data import values
from jld.data.account import Losses
from jld.data.problems import Problem, error, warning
from jld.data.xml_files import XmlFile
from jld.errors import DataError

MAX_BYTES = 32 << 20
"""A hundred thousand boxes; larger tasks are exported job by job."""
SIDES = ("width", "height")
IGNORED = ("difficult", "iscrowd")
"""Attributes of objects that are neither objects nor background."""


def read_cvat_xml(path: Path) -> tuple[dict[str, Any], list[Problem], Losses]:
    """The content of a file as that of a COCO json, what is wrong with it, and what is not in it.

    Boxes keep their `rotation` (degrees, clockwise), ellipses become the rectangles around them, polygons are
    kept, masks become their boxes. The attribute `difficult` or `iscrowd` makes a crowd.

    Raises:
        DataError: the file cannot be read as xml, or holds tracks instead of images.
    """
    file = XmlFile(path, max_bytes=MAX_BYTES)
    if file.root.tag != "annotations" or file.root.find("track") is not None:
        held = "tracks" if file.root.tag == "annotations" else f"<{file.root.tag}>"
        raise DataError(f"{path}: holds {held}, no images: export it as 'CVAT for images 1.1'.")
    content: dict[str, Any] = {"images": [], "annotations": []}
    problems, lost, names = [], Losses(), _labels(file.root)
    for image in file.root.findall("image"):
        try:
            entry = _image(image)
        except ValueError as problem:
            problems.append(error(f"image {problem}.", path, file.line(image)))
            lost.images.add("that cannot be used", f"{path}:{file.line(image)}")
            lost.objects.add("in images that cannot be used", f"{path}:{file.line(image)}", len(image))
            continue
        content["images"].append(entry)
        for number, element in enumerate(image):
            place = f"{entry['file_name']}#{number}"
            if element.tag not in SHAPES:
                lost.objects.add(f"of the kind {element.tag}, which is no box", place)
                continue
            try:
                shape = _object(element)
            except ValueError as problem:
                problems.append(error(f"{element.tag} {problem}.", path, file.line(element)))
                lost.objects.add("that cannot be used", f"{path}:{file.line(element)}")
                continue
            category = names.setdefault(shape.pop("label"), len(names))
            content["annotations"].append(
                {"id": place, "image_id": entry["id"], "category_id": category, **shape}
            )
    content["categories"] = [{"id": number, "name": name} for name, number in names.items()]
    others = {reason: count for reason, count in lost.objects.counts.items() if "of the kind" in reason}
    problems += [warning(f"passes over {count} objects {reason}.", path) for reason, count in others.items()]
    return content, problems, lost


def _labels(root: ElementTree.Element) -> dict[str, int]:
    """{name: number} of the labels that the task, project or job declares, in their order."""
    texts = [(label.findtext("name") or "").strip() for label in root.iterfind("meta/*/labels/label")]
    return {name: number for number, name in enumerate(dict.fromkeys(filter(None, texts)))}


def _image(element: ElementTree.Element) -> dict[str, Any]:
    name = _attribute(element, "name", values.file_name)
    sides = {key: _attribute(element, key, lambda text: values.side(values.number(text))) for key in SIDES}
    return {"id": name, "file_name": name, **sides}


def _object(element: ElementTree.Element) -> dict[str, Any]:
    """An annotation without its identifiers; `label` is the name of its class."""
    flags = [flag for flag in element.iterfind("attribute") if flag.get("name") in IGNORED]
    try:
        is_crowd = any([values.flag(flag.text) for flag in flags])
    except ValueError as problem:
        raise ValueError(f"has a mark that {problem}") from None
    shape = SHAPES[element.tag](element)
    rotation = _attribute(element, "rotation", values.number) if element.get("rotation") else 0.0
    turned = {"attributes": {"rotation": rotation}} if rotation else {}
    return {"label": _attribute(element, "label", values.text), "iscrowd": int(is_crowd), **shape, **turned}


def _box(element: ElementTree.Element) -> dict[str, Any]:
    x1, y1, x2, y2 = (_attribute(element, side, values.number) for side in ("xtl", "ytl", "xbr", "ybr"))
    return {"bbox": [x1, y1, x2 - x1, y2 - y1]}


def _ellipse(element: ElementTree.Element) -> dict[str, Any]:
    x, y, half_width, half_height = (
        _attribute(element, key, values.number) for key in ("cx", "cy", "rx", "ry")
    )
    return {"bbox": [x - half_width, y - half_height, 2 * half_width, 2 * half_height]}


def _mask(element: ElementTree.Element) -> dict[str, Any]:
    return {"bbox": [_attribute(element, side, values.number) for side in ("left", "top", *SIDES)]}


def _polygon(element: ElementTree.Element) -> dict[str, Any]:
    pairs = [pair.split(",") for pair in (element.get("points") or "").split(";")]
    if len(pairs) < 3 or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"has the points {values.shown(element.get('points'))}, but needs x,y;x,y;x,y;...")
    points = [[_number(text, "point") for text in pair] for pair in pairs]
    return polygon_entry(points)


def polygon_entry(points: list[list[float]]) -> dict[str, Any]:
    """`bbox` and `segmentation` of an object that is one polygon [[x, y], ...]."""
    columns = list(zip(*points, strict=True))
    low, high = [min(column) for column in columns], [max(column) for column in columns]
    return {
        "bbox": [*low, high[0] - low[0], high[1] - low[1]],
        "segmentation": [[value for point in points for value in point]],
    }


SHAPES: dict[str, Callable[[ElementTree.Element], dict[str, Any]]] = {
    "box": _box,
    "ellipse": _ellipse,
    "mask": _mask,
    "polygon": _polygon,
}


def _attribute(element: ElementTree.Element, key: str, read: Callable[[Any], Any]) -> Any:
    text = element.get(key)
    if text is None:
        raise ValueError(f"has no {key}")
    try:
        return read(text)
    except ValueError as problem:
        raise ValueError(f"has a {key} that {problem}") from None


def _number(text: str, what: str) -> float:
    try:
        return values.number(text)
    except ValueError as problem:
        raise ValueError(f"has a {what} that {problem}") from None
