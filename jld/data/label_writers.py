"""Writes labels in the formats of annotation tools; `jld.data.label_sources` reads them all again.

Every writer gets the images with their labels and a folder, and writes what a dataset of jld reads from it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import yaml

from jld.boxes.formats import clip_boxes
from jld.boxes.rotated import (
    edges_to_rboxes,
    poly_areas,
    polys_to_rboxes,
    polys_to_xyxy,
    rboxes_to_polys,
    shapes_to_polys,
)
from jld.data.account import Tally
from jld.data.dataset import DetectionDataset
from jld.data.dota import PolyAnnotation, format_objects
from jld.data.label_sources import FILES, NAMES_FILE
from jld.data.labelme import NAMES_FILE as LABELME_NAMES
from jld.data.oriented import OrientedTable
from jld.errors import DataError

DECIMALS = 4
"""Of coordinates in px: far below what anybody can draw."""
FRACTION_DECIMALS = 9
SAME_PX = 0.01
"""Corners of a rectangle may be off by so much."""


@dataclass(frozen=True)
class LabelledImage:
    """One image and its objects.

    Attributes:
        file: of the pixels.
        name: relative to the folder of the images, with slashes.
        size: (height, width) px.
        labels: [n] 0-based.
        boxes: [n, 4] upright xyxy px; polys: [n, 8] px, the corners.
        flags: [n] int, 0 for objects; 1 for crowds and difficult ones, 2 for those cut by a patch's border.
    """

    file: Path
    name: str
    size: tuple[int, int]
    labels: np.ndarray
    boxes: np.ndarray
    polys: np.ndarray
    flags: np.ndarray

    @property
    def stem(self) -> str:
        """The name without its suffix."""
        return self.name[: -len(Path(self.name).suffix)] if Path(self.name).suffix else self.name

    def select(self, keep: np.ndarray) -> LabelledImage:
        """The image with the objects where `keep` [n] is True."""
        rows = {name: getattr(self, name)[keep] for name in ("labels", "boxes", "polys", "flags")}
        return LabelledImage(self.file, self.name, self.size, **rows)


@dataclass
class Target:
    """Where labels are written to, and what became of them on the way.

    Attributes:
        folder: as above; empty.
        classes: names, in the order of the labels.
        rotated: whether the corners are those of rotated boxes, for formats that can hold both.
        one_based: whether VOC's first pixel is 1; its coordinates are then whole.
        dropped, changed: objects that could not be written, or not as they were.
    """

    folder: Path
    classes: Sequence[str]
    rotated: bool = False
    one_based: bool = True
    dropped: Tally = field(default_factory=Tally)
    changed: Tally = field(default_factory=Tally)

    def text(self, place: str, content: str) -> None:
        """Writes a text file below the folder."""
        path = self.folder / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")

    def xml(self, place: str, root: ElementTree.Element) -> None:
        """Writes an xml file below the folder."""
        ElementTree.indent(root)
        text = ElementTree.tostring(root, encoding="unicode")
        self.text(place, f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n')

    def names(self, place: str = NAMES_FILE) -> None:
        """Writes the class names, one a line."""
        self.text(place, "".join(f"{name}\n" for name in self.classes))

    def without_flags(self, image: LabelledImage, what: str) -> LabelledImage:
        """The image without the objects that must be marked, in a format that has no mark."""
        is_marked = image.flags != 0
        reason = f"crowds and difficult objects, which {what} cannot mark"
        self.dropped.add(reason, f"image {image.name}", int(is_marked.sum()))
        return image.select(~is_marked)


def labelled_images(dataset: DetectionDataset, root: Path, *, rotated: bool) -> Iterator[LabelledImage]:
    """The images of a dataset with what training learns from or ignores; the dataset accounts for the rest.

    Args:
        dataset: with upright or rotated boxes.
        root: folder of its images; the names are relative to it.
        rotated: whether the corners of rotated boxes stay; otherwise they are those of the boxes around them.
    """
    table = dataset.table
    for index, image_file in enumerate(table.image_files):
        rows, file = table.rows(index), Path(image_file)
        name = file.relative_to(root) if file.is_relative_to(root) else Path(file.name)
        name = Path(file.name) if ".." in name.parts else name  # it must stay below any folder
        marked = (table.is_crowd[rows] | table.is_difficult[rows]).astype(np.int64)
        if isinstance(table, OrientedTable):
            boxes, flags = polys_to_xyxy(table.polys[rows]), table.flags[rows]
        else:
            boxes, flags = table.boxes[rows], marked
        polys = shapes_to_polys(boxes)
        if rotated and isinstance(table, OrientedTable):
            polys = table.polys[rows]
        height, width = table.sizes[index].tolist()
        image = LabelledImage(file, name.as_posix(), (height, width), table.labels[rows], boxes, polys, flags)
        yield image.select(table.is_usable[rows])


def _rounded(values: np.ndarray | Sequence[float], decimals: int = DECIMALS) -> list:
    return (np.round(np.asarray(values, np.float64), decimals) + 0.0).tolist()  # no -0.0


def write_coco(images: Sequence[LabelledImage], target: Target) -> None:
    """`annotations.json`; rotated boxes are four corners in `segmentation`, marked objects are crowds."""
    content: dict[str, Any] = {"images": [], "annotations": []}
    content["categories"] = [{"id": label + 1, "name": name} for label, name in enumerate(target.classes)]
    for number, image in enumerate(images, start=1):
        height, width = image.size
        content["images"].append({"id": number, "file_name": image.name, "height": height, "width": width})
        sides = image.boxes[:, 2:] - image.boxes[:, :2]
        areas = poly_areas(image.polys) if target.rotated else sides.prod(1)
        columns = (image.labels.tolist(), _rounded(np.concatenate([image.boxes[:, :2], sides], 1)))
        for row, (label, box) in enumerate(zip(*columns, strict=True)):
            entry = {"id": len(content["annotations"]) + 1, "image_id": number, "category_id": label + 1}
            entry |= {"bbox": box, "area": _rounded(areas[row]), "iscrowd": int(image.flags[row] != 0)}
            entry["segmentation"] = [_rounded(image.polys[row])] if target.rotated else []
            content["annotations"].append(entry)
    target.text(FILES["coco"], json.dumps(content, ensure_ascii=False))


def write_voc(images: Sequence[LabelledImage], target: Target) -> None:
    """VOC's folders, with `trainval` as the set and `classes.txt` beside them."""
    for image in images:
        boxes = image.boxes
        if target.one_based:
            first = np.round(boxes[:, :2])
            boxes = np.concatenate([first, np.maximum(np.round(boxes[:, 2:]), first + 1)], 1)
            moved = int((np.abs(boxes - image.boxes) > SAME_PX).any(1).sum())
            target.changed.add("boxes rounded to whole px", f"image {image.name}", moved)
            boxes = (boxes + 1).astype(np.int64)
        root = _voc_root(image)
        for row, box in enumerate(boxes.tolist() if target.one_based else _rounded(boxes)):
            item = _voc_object(root, target.classes[image.labels[row]], int(image.flags[row] != 0))
            _children(
                ElementTree.SubElement(item, "bndbox"),
                **dict(zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)),
            )
        target.xml(f"Annotations/{image.stem}.xml", root)
    target.text("ImageSets/Main/trainval.txt", "".join(f"{image.stem}\n" for image in images))
    target.names()


def write_rolabelimg(images: Sequence[LabelledImage], target: Target) -> None:
    """`labels/<image>.xml` with centre, sides and angle; `classes.txt` beside them."""
    for image in images:
        rboxes, root = polys_to_rboxes(image.polys, "le90"), _voc_root(image)
        others = int((~_are_rectangles(image.polys, rboxes)).sum())
        reason = "quadrilaterals that became the smallest rectangles around them"
        target.changed.add(reason, f"image {image.name}", others)
        for row, (cx, cy, width, height, angle) in enumerate(rboxes):
            item = _voc_object(root, target.classes[image.labels[row]], int(image.flags[row] != 0))
            values = dict(zip(("cx", "cy", "w", "h"), _rounded([cx, cy, width, height]), strict=True))
            # roLabelImg's angles count from 0 on.
            values["angle"] = round(float(angle % np.pi), 8)
            _children(ElementTree.SubElement(item, "robndbox"), **values)
        target.xml(f"labels/{image.stem}.xml", root)
    target.names()


def _voc_root(image: LabelledImage) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    _children(root, filename=image.name)
    height, width = image.size
    _children(ElementTree.SubElement(root, "size"), width=width, height=height, depth=3)
    return root


def _voc_object(root: ElementTree.Element, name: str, difficult: int) -> ElementTree.Element:
    item = ElementTree.SubElement(root, "object")
    _children(item, name=name, pose="Unspecified", truncated=0, difficult=difficult)
    return item


def _children(parent: ElementTree.Element, **texts: object) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, tag).text = str(text)


def write_yolo(images: Sequence[LabelledImage], target: Target) -> None:
    """`labels/<image>.txt` and `data.yaml`; boxes are cut to their image, as fractions of it they must be."""
    for image in images:
        kept = target.without_flags(image, "yolo")
        height, width = image.size
        boxes = clip_boxes(kept.boxes, image.size)
        cut = int((boxes != kept.boxes).any(1).sum())
        target.changed.add("boxes cut to their image", f"image {image.name}", cut)
        centers, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        fractions = np.concatenate([centers, sides], 1) / [width, height, width, height]
        target.text(f"labels/{image.stem}.txt", yolo_lines(kept.labels, fractions))
    _yolo_names(target)


def write_yolo_obb(images: Sequence[LabelledImage], target: Target) -> None:
    """`labels/<image>.txt` with four corners a line, and `data.yaml`."""
    for image in images:
        kept = target.without_flags(image, "yolo_obb")
        fractions = kept.polys / np.tile(image.size[::-1], 4)
        target.text(f"labels/{image.stem}.txt", yolo_lines(kept.labels, fractions))
    _yolo_names(target)


def yolo_lines(labels: np.ndarray, fractions: np.ndarray, scores: np.ndarray | None = None) -> str:
    """Lines of YOLO: label, numbers [n, 4 or 8] as fractions of the image and, where given, the score."""
    rows = [
        [str(int(label)), *(f"{value:.{FRACTION_DECIMALS}g}" for value in row)]
        for label, row in zip(labels, fractions, strict=True)
    ]
    if scores is not None:
        rows = [[*row, f"{float(score):.5f}"] for row, score in zip(rows, scores, strict=True)]
    return "".join(f"{' '.join(row)}\n" for row in rows)


def _yolo_names(target: Target) -> None:
    names = dict(enumerate(map(str, target.classes)))
    content = {"path": ".", "train": "images", "val": "images", "nc": len(names), "names": names}
    target.text("data.yaml", yaml.safe_dump(content, allow_unicode=True, sort_keys=False))


def write_dota(images: Sequence[LabelledImage], target: Target) -> None:
    """`labelTxt/<image>.txt`, and `classes.txt` beside; spaces in class names become `_`.

    Raises:
        DataError: two names become one.
    """
    names = ["_".join(name.split()) for name in target.classes]
    if len(set(names)) != len(names):
        raise DataError(f"class names of DOTA hold no space, and without them two of {names} are the same.")
    for name, written in zip(target.classes, names, strict=True):
        target.changed.add("class names without their spaces", repr(name), int(name != written))
    for image in images:
        annotation = PolyAnnotation.of(
            np.round(image.polys, DECIMALS), [names[label] for label in image.labels], image.flags.tolist()
        )
        target.text(f"labelTxt/{image.stem}.txt", format_objects(annotation))
    target.text(NAMES_FILE, "".join(f"{name}\n" for name in names))


def write_labelme(images: Sequence[LabelledImage], target: Target) -> None:
    """`<image>.json` beside each image, and `labels.txt`; rotated boxes are polygons of four points."""
    for image in images:
        points = image.polys.reshape(-1, 4, 2) if target.rotated else image.boxes.reshape(-1, 2, 2)
        shapes = [
            {
                "label": target.classes[label],
                "points": corners,
                "group_id": None,
                "shape_type": "polygon" if target.rotated else "rectangle",
                "flags": {"difficult": True} if flag else {},
            }
            for label, corners, flag in zip(image.labels, _rounded(points), image.flags, strict=True)
        ]
        height, width = image.size
        content: dict[str, Any] = {
            "version": "5.5.0",
            "flags": {},
            "shapes": shapes,
            "imagePath": Path(image.name).name,
        }
        content |= {"imageData": None, "imageHeight": height, "imageWidth": width}
        target.text(f"{image.stem}.json", json.dumps(content, ensure_ascii=False, indent=1))
    target.names(LABELME_NAMES)


def write_cvat(images: Sequence[LabelledImage], target: Target) -> None:
    """`annotations.xml`; rectangles that are turned have a `rotation`, other quadrilaterals are polygons."""
    root = ElementTree.Element("annotations")
    _children(root, version="1.1")
    task = ElementTree.SubElement(ElementTree.SubElement(root, "meta"), "task")
    labels = ElementTree.SubElement(task, "labels")
    for name in target.classes:
        label = ElementTree.SubElement(labels, "label")
        _children(label, name=name)
        mark = ElementTree.SubElement(ElementTree.SubElement(label, "attributes"), "attribute")
        _children(mark, name="difficult", mutable="False", input_type="checkbox")
        _children(mark, default_value="false", values="false")
    for number, image in enumerate(images):
        height, width = image.size
        given = {"id": str(number), "name": image.name, "width": str(width), "height": str(height)}
        element = ElementTree.SubElement(root, "image", given)
        shapes = zip(image.labels, _cvat_shapes(image, target), image.flags, strict=True)
        for label, (tag, where), flag in shapes:
            common = {"label": target.classes[label], "source": "manual", "occluded": "0", "z_order": "0"}
            shape = ElementTree.SubElement(element, tag, {**common, **where})
            ElementTree.SubElement(shape, "attribute", {"name": "difficult"}).text = str(bool(flag)).lower()
    target.xml(FILES["cvat"], root)


def _cvat_shapes(image: LabelledImage, target: Target) -> Iterator[tuple[str, dict[str, str]]]:
    """(tag, its attributes) of the objects of an image."""
    rboxes = edges_to_rboxes(image.polys, "le90")
    is_rectangle = _are_rectangles(image.polys, rboxes) if target.rotated else np.ones(len(rboxes), bool)
    for row, (cx, cy, width, height, angle) in enumerate(rboxes):
        if not is_rectangle[row]:
            points = _rounded(image.polys[row].reshape(4, 2))
            yield "polygon", {"points": ";".join(f"{x},{y}" for x, y in points)}
            continue
        sides, degrees = image.boxes[row], 0.0
        if target.rotated:
            sides = np.array([cx - width / 2, cy - height / 2, cx + width / 2, cy + height / 2])
            degrees = round(float(np.degrees(angle)) % 360, 6)
        names = ("xtl", "ytl", "xbr", "ybr")
        where = {name: str(value) for name, value in zip(names, _rounded(sides), strict=True)}
        yield "box", {**where, "rotation": str(degrees)} if degrees else where


def _are_rectangles(polys: np.ndarray, rboxes: np.ndarray) -> np.ndarray:
    """[n] bool: whether the corners of rectangles [n, 5] are those of [n, 8], in any order."""
    made = rboxes_to_polys(rboxes).reshape(-1, 4, 1, 2)
    distances = np.linalg.norm(made - polys.reshape(-1, 1, 4, 2), axis=-1)  # [n, 4, 4]
    return (distances.min(2) <= SAME_PX).all(1)


@dataclass(frozen=True)
class LabelFormat:
    """How a format is written.

    Attributes:
        write: (images, target) writes its files.
        images: folder of the images below the target.
        is_flat: whether all images lie in one folder and are told by their names without suffixes.
    """

    write: Callable[[Sequence[LabelledImage], Target], None]
    images: str = "images"
    is_flat: bool = False


WRITERS = {
    "coco": LabelFormat(write_coco),
    "cvat": LabelFormat(write_cvat),
    "labelme": LabelFormat(write_labelme, images=""),
    "voc": LabelFormat(write_voc, images="JPEGImages", is_flat=True),
    "yolo": LabelFormat(write_yolo),
    "yolo_obb": LabelFormat(write_yolo_obb, is_flat=True),
    "rolabelimg": LabelFormat(write_rolabelimg, is_flat=True),
    "dota": LabelFormat(write_dota, is_flat=True),
}
