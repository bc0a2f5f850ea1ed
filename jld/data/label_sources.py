"""Labels of any format that is read, by the name of the format and a path: for conversion and statistics."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jld.data.classes import class_names
from jld.data.coco import COCODataset
from jld.data.dataset import DetectionDataset
from jld.data.dota import read_label_file
from jld.data.dota_dataset import ANNOTATIONS, LABELME, DOTADataset
from jld.data.voc import VOCDataset
from jld.data.xml_files import XmlFile
from jld.data.yolo import YOLODataset, labels_beside
from jld.errors import ConfigError, DataError, one_of

UPRIGHT, ROTATED, EITHER = ("voc", "yolo"), ("yolo_obb", "rolabelimg", "dota"), ("coco", "cvat", LABELME)
FORMATS = (*EITHER, *UPRIGHT, *ROTATED)
FILES = {"coco": "annotations.json", "cvat": "annotations.xml"}
"""{format whose labels are one file: what that is called below a folder of ours}."""
NAMES_FILE = "classes.txt"
"""Class names beside labels whose format has no place for them."""


@dataclass(frozen=True)
class LabelSource:
    """Where labels are, and how they are read.

    Attributes:
        format: one of `FORMATS`.
        path: annotation file (coco, cvat; or the folder with it that `convert_labels` makes) or folder (all
            others).
        images: folder of the images; None: `images` in or beside `path`, or beside the labels.
        classes: names, in the order of the labels; objects of others are passed over. None: all that there
            are, in the order of the files where they list them.
        image_set: of VOC; None: its default.
        one_based: whether VOC's first pixel is 1; its coordinates are then whole.
        strict: whether errors stop; otherwise what they touch is dropped.
        orientation: which way the labels mean turned pictures, see `ImageReader`.
    Raises:
        ConfigError: unknown format.
        DataError: the path does not exist.
    """

    format: str
    path: Path
    images: Path | None = None
    classes: Sequence[str] | None = None
    image_set: str | None = None
    one_based: bool = True
    strict: bool = True
    orientation: str = "exif"

    def __post_init__(self):
        check_format(self.format)
        if not self.path.exists():
            raise DataError(f"{self.path} does not exist.")
        written = self.path / FILES.get(self.format, "")
        if self.format in FILES and written.is_file():
            object.__setattr__(self, "path", written)
        if self.path.is_dir() == (self.format in FILES):
            needed = "an annotation file" if self.path.is_dir() else "a folder"
            raise DataError(f"{self.path}: {self.format} labels are {needed}.")

    def read(self, *, rotated: bool) -> tuple[DetectionDataset, Path]:
        """(dataset of every image, folder of the images).

        Args:
            rotated: whether boxes keep their angles, where the format has any.
        Raises:
            ConfigError: rotated boxes of a format that has none.
            DataError: the labels cannot be used; lists every reason.
        """
        if rotated and self.format in UPRIGHT:
            raise ConfigError(f"{self.format} has no rotated boxes: use {', '.join((*EITHER, *ROTATED))}.")
        if rotated or self.format in ROTATED:
            return self._oriented()
        return OPENERS[self.format](self)

    def _options(self, classes: Sequence[str] | None) -> dict[str, Any]:
        reader = {"orientation": self.orientation}
        return {"classes": classes, "filter_empty_gt": False, "strict": self.strict, "image_reader": reader}

    def _oriented(self) -> tuple[DetectionDataset, Path]:
        images, labels = FOLDERS[self.format](self)
        options = self._options(self.classes if self.format in EITHER else self._names(labels))
        dataset = DOTADataset(
            images_dir=str(images),
            annotations_file=str(labels),
            label_format="dota" if self.format in FILES else self.format,
            angle_version="le90",
            difficult="ignore",
            patch_style="whole",
            **options,
        )
        return dataset, images

    def _names(self, labels: Path) -> Sequence[str] | None:
        """The classes as they were given, as a list beside the labels says, or all that the files name."""
        if self.classes or self.format == "yolo_obb":
            return self.classes
        listed = self.path / NAMES_FILE
        return class_names(str(listed)) if listed.is_file() else names_in(labels)


def check_format(name: str) -> str:
    """The name of a format, if it is one.

    Raises:
        ConfigError: it is not; says the nearest one.
    """
    return one_of(name, FORMATS, f"label format {name!r} is not known")


def names_in(labels: Path) -> list[str] | None:
    """The class names in a folder of xml files or of DOTA's label files, sorted; None without any.

    Files that cannot be read are passed over: whoever reads the objects names them.
    """
    found: set[str] = set()
    for file in sorted(labels.iterdir()) if labels.is_dir() else ():
        with contextlib.suppress(DataError):
            if file.suffix == ".xml":
                names = [element.findtext("name") or "" for element in XmlFile(file).root.findall("object")]
                found.update(name.strip() for name in names)
            elif file.suffix == ".txt" and file.name != NAMES_FILE:
                found.update(read_label_file(file)[0].names)
    return sorted(found - {""}) or None


def _coco(source: LabelSource) -> tuple[DetectionDataset, Path]:
    images, labels = FOLDERS[source.format](source)
    return COCODataset(str(images), str(labels.absolute()), **source._options(source.classes)), images


def _voc(source: LabelSource) -> tuple[DetectionDataset, Path]:
    folder = source.path
    labels, images = (_first(folder, name) for name in ("Annotations", "JPEGImages"))
    options = {**source._options(source._names(labels)), "one_based": source.one_based}
    unknown = "ignore" if source.classes else "error"
    return VOCDataset(str(folder), source.image_set, unknown_classes=unknown, **options), images


def _yolo(source: LabelSource) -> tuple[DetectionDataset, Path]:
    images, labels = FOLDERS["yolo"](source)
    return YOLODataset(str(images), str(labels), **source._options(source.classes)), images


OPENERS: dict[str, Callable[[LabelSource], tuple[DetectionDataset, Path]]] = {
    **dict.fromkeys(EITHER, _coco),
    "voc": _voc,
    "yolo": _yolo,
}


def _first(folder: Path, *names: str) -> Path:
    """The first of these folders that is there, or the folder that would hold them."""
    return next((folder / name for name in names if (folder / name).is_dir()), folder)


def _of_file(source: LabelSource) -> tuple[Path, Path]:
    return source.images or _first(source.path.parent, "images"), source.path


def _of_yolo(source: LabelSource) -> tuple[Path, Path]:
    images = source.images or _first(source.path, "images")
    inside = source.path / "labels"
    return images, inside if inside.is_dir() else labels_beside(images)


def _of_dota(source: LabelSource) -> tuple[Path, Path]:
    places = [source.path / name for name in ANNOTATIONS]
    labels = next((place for place in places if place.exists()), source.path)
    return source.images or _first(source.path, "images"), labels


# {format: (folder of images, annotation file or folder of label files)}
FOLDERS: dict[str, Callable[[LabelSource], tuple[Path, Path]]] = {
    "coco": _of_file,
    "cvat": _of_file,
    LABELME: lambda source: (source.images or source.path, source.path),
    "yolo": _of_yolo,
    "yolo_obb": _of_yolo,
    "rolabelimg": lambda source: (
        source.images or _first(source.path, "images"),
        _first(source.path, "labels", "Annotations"),
    ),
    "dota": _of_dota,
}
