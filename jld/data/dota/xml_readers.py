"""XML annotations of other datasets of rotated boxes as records of DOTA: HRSC2016, SSDD, FAIR1M, DIOR-R,
roLabelImg.

Every reader returns the sound objects of one file and a problem, with file and line, for each of the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from jld.boxes.rotated import rboxes_to_polys
from jld.data import values
from jld.data.dota.classes import DIOR_CLASSES, FAIR1M_1_5_CLASSES, FAIR_CLASSES, HRSC_CLASS_IDS
from jld.data.dota.labels import PolyAnnotation
from jld.data.problems import Problem, error
from jld.data.xml_files import XmlFile
from jld.errors import suggestion

Reader = Callable[[str | Path], tuple[PolyAnnotation, list[Problem]]]
DIOR_CORNERS = ("left_top", "right_top", "right_bottom", "left_bottom")
HRSC_PREFIX = "1000000"


def read_hrsc_xml(path: str | Path, *, classwise: bool = False) -> tuple[PolyAnnotation, list[Problem]]:
    """Objects of HRSC2016: rotated boxes in le90, given by centre, edges and angle.

    Args:
        path: `Annotations/<id>.xml`.
        classwise: name the 31 kinds of ships; otherwise all are "ship".
    Raises:
        DataError: the file cannot be read as XML.
    """

    def read(element: ElementTree.Element) -> tuple[list[float], str, int]:
        rbox = [_number(element, f"mbox_{part}") for part in ("cx", "cy", "w", "h", "ang")]
        class_id = _text(element, "Class_ID") if classwise else HRSC_PREFIX + "01"
        name = HRSC_CLASS_IDS.get(class_id.removeprefix(HRSC_PREFIX))
        if name is None:
            raise ValueError(f"has the unknown Class_ID {class_id}.")
        return rbox, name, _flag(element)

    return _read_objects(XmlFile(path), "HRSC_Objects/HRSC_Object", read, of_rboxes=True)


def read_ssdd_xml(path: str | Path, *, rotated: bool = True) -> tuple[PolyAnnotation, list[Problem]]:
    """Ships of SSDD: corners in `rotated_bndbox` (SSDD+), or of the upright `bndbox`.

    Raises:
        DataError: the file cannot be read as XML.
    """

    def read(element: ElementTree.Element) -> tuple[list[float], str, int]:
        if rotated:
            tags = [f"rotated_bndbox/{axis}{corner}" for corner in range(1, 5) for axis in "xy"]
            poly = [_number(element, tag) for tag in tags]
        else:
            x1, y1, x2, y2 = _sides(element)
            poly = [x1, y1, x1, y2, x2, y2, x2, y1]
        return poly, _text(element, "name"), _flag(element)

    return _read_objects(XmlFile(path), "object", read)


def read_fair_xml(path: str | Path) -> tuple[PolyAnnotation, list[Problem]]:
    """Objects of FAIR1M: the first four of the five points of a closed quadrilateral; spaces in names become
    `_`.

    Raises:
        DataError: the file cannot be read as XML.
    """

    def read(element: ElementTree.Element) -> tuple[list[float], str, int]:
        points = element.findall("points/point")
        if len(points) not in (4, 5):
            raise ValueError(f"has {len(points)} points, 4 or 5 are expected.")
        poly = []
        for point in points[:4]:
            parts = (point.text or "").split(",")
            if len(parts) != 2:
                raise ValueError(f"has the point {point.text!r}; expected 'x,y'.")
            poly += [_as_number(part, "point") for part in parts]
        name = _text(element, "possibleresult/name").replace(" ", "_")
        known = {*FAIR_CLASSES, *FAIR1M_1_5_CLASSES}
        if name not in known:
            raise ValueError(f"has the class {name!r}: {suggestion(name, known)}")
        return poly, name, _flag(element)

    return _read_objects(XmlFile(path), "objects/object", read)


def read_dior_xml(path: str | Path) -> tuple[PolyAnnotation, list[Problem]]:
    """Objects of DIOR-R: corners in `robndbox`; class names are lower case, as published detectors have them.

    Raises:
        DataError: the file cannot be read as XML.
    """

    def read(element: ElementTree.Element) -> tuple[list[float], str, int]:
        poly = [_number(element, f"robndbox/{axis}_{corner}") for corner in DIOR_CORNERS for axis in "xy"]
        name = _text(element, "name").lower()
        if name not in DIOR_CLASSES:
            raise ValueError(f"has the class {name!r}: {suggestion(name, DIOR_CLASSES)}")
        return poly, name, _flag(element)

    return _read_objects(XmlFile(path), "object", read)


def read_rolabelimg_xml(path: str | Path, size: tuple[int, int]) -> tuple[PolyAnnotation, list[Problem]]:
    """Objects drawn with roLabelImg: a `robndbox` of centre, sides and angle (radians, clockwise), or an
    upright `bndbox`.

    Args:
        path: the file.
        size: (height, width) px of the image; another one in the file is a problem.
    Raises:
        DataError: the file cannot be read as XML.
    """

    def read(element: ElementTree.Element) -> tuple[list[float], str, int]:
        turned = element.findall("robndbox")  # a path for each part would take twice as long
        if not turned:
            x1, y1, x2, y2 = _sides(element)
            upright = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, 0.0]
            return upright, _text(element, "name"), _flag(element)
        if len(turned) > 1:
            raise ValueError(f"has {len(turned)} robndbox; an object has one.")
        rbox = [_number(turned[0], part, "robndbox/") for part in ("cx", "cy", "w", "h", "angle")]
        if abs(rbox[4]) > 2 * math.pi:
            raise ValueError(f"has the angle {rbox[4]:g}, more than a full turn in radians.")
        if min(rbox[2:4]) < 0:
            raise ValueError("has a negative side.")
        return rbox, _text(element, "name"), _flag(element)

    file = XmlFile(path)
    annotation, problems = _read_objects(file, "object", read, of_rboxes=True)
    stated = tuple((file.root.findtext(f"size/{side}") or "0").strip() for side in ("height", "width"))
    if "0" not in stated and stated != tuple(map(str, size)):
        said = f"says {' x '.join(stated)} px (height x width), but its image has {size[0]} x {size[1]}"
        problems.append(error(f"{said}: were its boxes drawn on another one?", path))
    return annotation, problems


def _sides(element: ElementTree.Element) -> list[float]:
    return [_number(element, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]


def _read_objects(
    file: XmlFile, place: str, read: Callable, *, of_rboxes: bool = False
) -> tuple[PolyAnnotation, list[Problem]]:
    """The objects at a place; `read` gives (corners, or with `of_rboxes` a box; name; flag) of each."""
    rows, problems, path = [], [], file.path
    for element in file.root.findall(place):
        try:
            rows.append(read(element))
        except ValueError as problem:
            problems.append(error(f"object {problem}", path, file.line(element)))
    parent, _, tag = place.rpartition("/")
    for element in (each for holder in file.root.iterfind(parent or ".") for each in holder):
        if element.tag != tag and element.tag.lower() == tag.lower():
            problems.append(
                error(f"has a <{element.tag}>, but objects are <{tag}>.", path, file.line(element))
            )
    if not rows and not problems and file.root.find(f".//{tag}") is not None:
        problems.append(error(f"has no {place} below <{file.root.tag}>, but <{tag}> elsewhere.", path))
    if not rows:
        return PolyAnnotation.of([], []), problems
    shapes, names, flags = zip(*rows, strict=True)
    # All boxes of a file at once: one by one they take longer than the reading.
    return PolyAnnotation.of(rboxes_to_polys(shapes) if of_rboxes else shapes, names, flags), problems


def _text(element: ElementTree.Element, tag: str, place: str = "") -> str:
    found = element.findall(tag)
    text = (found[0].text or "").strip() if found else ""
    if not text or len(found) > 1:
        raise ValueError(f"has {len(found) if text else 'no'} {place}{tag}; an object has one.")
    return values.composed(text)


def _number(element: ElementTree.Element, tag: str, place: str = "") -> float:
    return _as_number(_text(element, tag, place), place + tag)


def _as_number(text: str, tag: str) -> float:
    try:
        return values.number(text)
    except ValueError as problem:
        raise ValueError(f"has a {tag} that {problem}.") from None


def _flag(element: ElementTree.Element) -> int:
    try:
        return int(values.flag(element.findtext("difficult")))
    except ValueError as problem:
        raise ValueError(f"has a difficult that {problem}.") from None
