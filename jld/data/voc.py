"""Datasets of PASCAL VOC's xml files: JPEGImages/, Annotations/, ImageSets/Main/<set>.txt, or all in one."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.rotated import rboxes_to_xyxy
from jld.data.account import Losses, Tally
from jld.data.classes import VOC_CLASSES, class_names, unmatched_names
from jld.data.dataset import DetectionDataset
from jld.data.file_names import as_stored, portable, unusable
from jld.data.images import BrokenImageError, ImageReader, is_image_file
from jld.data.problems import Problem, error, raise_errors, warning
from jld.data.tables import BORDER_TOLERANCE, AnnotationTable, drop_images, usable_boxes
from jld.data.text_files import read_list
from jld.data.transforms import Transform
from jld.data.values import composed
from jld.data.voc_xml import XmlAnnotation, XmlObject, read_voc_xml
from jld.errors import ConfigError, DataError, one_of, suggestion
from jld.registry import DATASETS

PRESENCE = ("-1", "0", "1")
"""Second column of VOC's class-wise lists: whether an image shows the class."""


@DATASETS.register
class VOCDataset(DetectionDataset):
    """Images and boxes from PASCAL VOC folders.

    Difficult objects become `boxes_ignore` in training and are marked for evaluation.

    Args:
        root: folder such as `VOCdevkit/VOC2007`, or a list of them. Where it has no `JPEGImages` or no
            `Annotations`, images or xml files lie in it directly (labelImg's layout).
        image_set: name of the list in `ImageSets/Main`, for all roots, or one name per root. Default:
            "trainval", and in a root without `ImageSets` every xml file.
        transforms: built transforms, in order.
        classes: names in the order of the labels: a list, one name, or a text file with a name per line.
            Default: the 20 VOC names.
        filter_empty_gt: leave out images without any object of these classes, and images with a side below
            `min_size`. False keeps every image: for evaluation, and to train on images without objects.
        min_size: px, see above.
        times: how often one epoch visits each image (3 in the published VOC schedules).
        one_based: True reads coordinates as VOC wrote them: cut to integers, and 1 subtracted from all four
            sides. False takes them as they are, for annotation tools that count from 0.
        unknown_classes: "error", or "ignore" to pass over objects of other names; a line says which.
        image_reader: how image files are read, see `ImageReader`: orientation, bits, max_pixels.
        strict: False collects errors in `problems` instead of raising them; what they touch is dropped.
    Raises:
        DataError: annotations cannot be used; lists every reason with file and line.
    Source: box reading as mmDetection 2; without `one_based=False` its boxes are reproduced exactly.
    Differs: an unknown class name is an error (`unknown_classes="ignore"` passes over it), and boxes without
        area are not trained on.
    """

    default_evaluator = "VocEvaluator"

    def __init__(
        self,
        root: str | Sequence[str],
        image_set: str | Sequence[str] | None = None,
        transforms: Iterable[Transform] | None = None,
        classes: str | Sequence[str] | None = None,
        *,
        filter_empty_gt: bool = True,
        min_size: int = 32,
        times: int = 1,
        one_based: bool = True,
        unknown_classes: str = "error",
        image_reader: Mapping[str, Any] | None = None,
        strict: bool = True,
    ):
        one_of(
            unknown_classes, ("error", "ignore"), f"VOCDataset knows no unknown_classes {unknown_classes!r}"
        )
        names = class_names(classes) or VOC_CLASSES
        image_reader = ImageReader.of(image_reader)
        reader = _FolderReader(
            names, one_based=one_based, ignore_unknown=unknown_classes == "ignore", image_reader=image_reader
        )
        for folder, set_name in _pair_sets(root, image_set):
            reader.read_set(folder, set_name)
        title = f"VOC data in {', '.join(map(str, dict.fromkeys(reader.folders)))}"
        table = reader.table()
        reader.problems += reader.findings(title)
        if strict:
            raise_errors(reader.problems, title)
        table = drop_images(
            table, title, min_size=min_size, filter_empty_gt=filter_empty_gt, lost=reader.lost
        )
        super().__init__(
            table,
            names,
            transforms,
            reader.problems,
            times=times,
            lost=reader.lost,
            image_reader=image_reader,
        )


def _pair_sets(
    root: str | Sequence[str], image_set: str | Sequence[str] | None
) -> list[tuple[Path, str | None]]:
    roots = [root] if isinstance(root, str | Path) else list(root)
    sets = [image_set] if image_set is None or isinstance(image_set, str) else list(image_set)
    if len(sets) == 1:
        sets = sets * len(roots)
    elif len(roots) == 1:
        roots = roots * len(sets)
    if not roots or len(roots) != len(sets):
        raise ConfigError(
            f"VOCDataset got {len(roots)} roots and {len(sets)} image sets: give one set, or one per root."
        )
    return [(Path(folder), name) for folder, name in zip(roots, sets, strict=True)]


@dataclass
class _FolderReader:
    """Reads image sets one after the other and collects images, boxes and problems."""

    classes: tuple[str, ...]
    one_based: bool
    ignore_unknown: bool
    image_reader: ImageReader
    folders: list[Path] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    images: list[tuple[str, str, tuple[int, int]]] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    boxes: list[tuple[float, float, float, float]] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    difficult: list[bool] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    file_of: dict[str, str] = field(default_factory=dict)
    passed_over: Tally = field(default_factory=Tally)
    turned: Tally = field(default_factory=Tally)
    from_zero: Tally = field(default_factory=Tally)
    exchanged: Tally = field(default_factory=Tally)
    lost: Losses = field(default_factory=Losses)
    largest: float = 0.0
    real_root: str = ""

    def read_set(self, folder: Path, set_name: str | None) -> None:
        self.folders.append(folder)
        self.real_root = str(folder.resolve())
        annotations, images = _place(folder, "Annotations"), _place(folder, "JPEGImages")
        files = _files_by_stem(images)
        if set_name is None and not (folder / "ImageSets").is_dir():
            image_ids = _annotated(annotations)
            self._leave_out(sorted(set(files) - set(image_ids)), images)
        else:
            image_ids, found = _image_ids(folder, set_name or "trainval")
            self.problems += found
        for image_id in image_ids:
            xml = annotations / f"{as_stored(image_id, annotations, '.xml')}.xml"
            same = files.get(composed(image_id)) or [images / f"{image_id}.jpg"]
            if len(same) > 1:
                names = " and ".join(sorted(path.name for path in same))
                self.problems.append(error(f"has two images, {names}: which one is it?", xml))
            try:
                annotation = read_voc_xml(xml)
                size = self._size_of(annotation, same[0], xml)
            except BrokenImageError as problem:
                self.problems.append(error(f"gives no image size, and {problem}", xml))
            except DataError as problem:
                self.problems.append(error(str(problem)))
            else:
                if _names_another(annotation.filename, image_id, files):
                    self.exchanged.add("annotations that say they are of another image in JPEGImages", xml)
                self._add(image_id, same[0], size, annotation, xml)
                continue
            self.lost.images.add("that cannot be used", image_id)

    def _leave_out(self, unlabelled: Sequence[str], images: Path) -> None:
        if unlabelled:
            text = f"{len(unlabelled)} images without an xml file are left out, first: {unlabelled[0]}."
            self.problems.append(warning(text, images))
            self.lost.images.add("without an xml file", unlabelled[0], len(unlabelled))

    def _size_of(self, annotation: XmlAnnotation, image_file: Path, xml: Path) -> tuple[int, int]:
        if annotation.odd_size:
            text = f"gives its image the side {annotation.odd_size!r}; the size of the image file is taken."
            self.problems.append(warning(text, xml))
        if annotation.height and annotation.width:
            return annotation.height, annotation.width
        return self.image_reader.size(image_file)

    def _add(
        self, image_id: str, image_file: Path, size: tuple[int, int], annotation: XmlAnnotation, xml: Path
    ) -> None:
        # Roots are told apart by their real place, images by their names: a question per file is slow.
        same_file = composed(os.path.normpath(f"{self.real_root}/{image_id}"))
        if same_file in self.file_of:
            before = self.file_of[same_file]
            text = f"image is listed twice (as {before}); use `times` to visit images more often."
            self.problems.append(error(text, xml))
            self.lost.images.add("listed twice", image_id)
            return
        if image_id in self.ids:
            # Two roots may number their images alike; identifiers must still tell them apart.
            short = f"{self.folders[-1].name}/{image_id}"
            image_id = f"{self.folders[-1]}/{image_id}" if short in self.ids else short
        self.ids.add(image_id)
        self.file_of[same_file] = image_id
        before = len(self.boxes)
        for item in annotation.objects:
            box = self._box_of(item, size, xml)
            if box is not None:
                self.boxes.append(box)
        self.images.append((image_id, str(image_file), size))
        self.counts.append(len(self.boxes) - before)

    def _box_of(self, item: XmlObject, size: tuple[int, int], xml: Path) -> tuple[float, ...] | None:
        """The box of an object that can be used; its label and mark are noted with it."""
        name = item.name
        if name not in self.classes:
            if self.ignore_unknown:
                is_first = name not in self.passed_over.counts  # a line costs a second look at the file
                self.passed_over.add(name, f"{xml}:{item.line}" if is_first else "")
                return None
            hint = suggestion(name, self.classes)
            text = f"class {name!r} is not in classes: {hint}"
            return self._refuse(text, xml, item.line_of("name"))
        try:
            box, is_difficult, degrees = item.box(), item.is_difficult(), item.rotation()
        except ValueError as problem:
            return self._refuse(f"object {name!r} {problem}.", xml, item.line)
        self.largest = max(self.largest, *box)
        if self.one_based and 0 in box:
            self.from_zero.add("boxes with a coordinate of 0, while VOC counts from 1", xml)
        if degrees % 180:
            x1, y1, x2, y2 = box
            turned = [(x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, math.radians(degrees)]
            box = tuple(rboxes_to_xyxy(np.array(turned)).tolist())
            self.turned.add("rotated rectangles, which become the upright boxes around them", xml)
        finding = _finding(box, size, self.one_based)
        if finding:
            make, text = finding
            sides = ", ".join(f"{value:g}" for value in box)
            text, line = f"{name} box ({sides}) {text}.", item.line_of("xmin")
            if make is error:
                return self._refuse(text, xml, line)
            self.problems.append(make(text, xml, line))
        self.labels.append(self.classes.index(name))
        self.difficult.append(is_difficult)
        if not self.one_based:
            return box
        x1, y1, x2, y2 = map(int, box)
        return float(x1 - 1), float(y1 - 1), float(x2 - 1), float(y2 - 1)

    def _refuse(self, text: str, xml: Path, line: int) -> None:
        self.problems.append(error(text, xml, line))
        self.lost.objects.add("that cannot be used", f"{xml}:{line}")

    def findings(self, source: str) -> list[Problem]:
        """What can only be said once everything is read."""
        used = {self.classes[label] for label in self.labels}
        problems = unmatched_names(self.classes, used, self.passed_over, source)
        for name, count in self.passed_over.counts.items():
            example = self.passed_over.examples[name]
            self.lost.objects.add(f"of the class {name}, which is not wanted", example, count)
        problems += [
            warning(f"holds {tally}{cure}.", source)
            for tally, cure in (
                (self.turned, ""),
                (self.exchanged, ": are labels exchanged?"),
                (self.from_zero, "; one_based=False takes coordinates as they are"),
            )
            if tally.total
        ]
        if 0 < self.largest <= 1:
            text = "has boxes that all lie between 0 and 1: fractions of the image are not "
            problems.append(error(f"{text}read, multiply them by its width and height.", source))
        return problems

    def table(self) -> AnnotationTable:
        boxes = np.array(self.boxes, np.float64).reshape(-1, 4)
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        sizes = np.array([size for _, _, size in self.images], np.int64).reshape(-1, 2)
        counts = np.array(self.counts, np.int64)
        return AnnotationTable(
            image_ids=tuple(image_id for image_id, _, _ in self.images),
            image_files=tuple(file for _, file, _ in self.images),
            sizes=sizes,
            offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            boxes=boxes,
            labels=np.array(self.labels, np.int64),
            areas=areas,
            is_crowd=np.zeros(len(boxes), bool),
            is_difficult=np.array(self.difficult, bool),
            is_usable=usable_boxes(boxes, areas, np.repeat(sizes, counts, axis=0)),
        )


def _place(folder: Path, name: str) -> Path:
    """The folder of VOC's name, or the root itself, where annotation tools put everything."""
    return folder / name if (folder / name).is_dir() else folder


def _annotated(annotations: Path) -> list[str]:
    names = sorted(file.stem for file in annotations.glob("*.xml") if not file.name.startswith("."))
    if not names:
        raise DataError(f"{annotations} holds neither ImageSets/Main nor xml files.")
    return names


def _image_ids(folder: Path, set_name: str) -> tuple[list[str], list[Problem]]:
    path = folder / "ImageSets" / "Main" / f"{set_name}.txt"
    if not path.is_file():
        known = [candidate.stem for candidate in path.parent.glob("*.txt")]
        raise DataError(f"image set {path} does not exist: {suggestion(set_name, known)}")
    lines = read_list(path, "image set")
    if not lines:
        raise DataError(f"image set {path} is empty.")
    # A line is a name, spaces and all. Class-wise lists of VOC have a second column: every line of them.
    words = [line.rsplit(maxsplit=1) for line in lines]
    if all(len(pair) == 2 and pair[1] in PRESENCE for pair in words):
        annotations = folder / "Annotations"
        if not any((annotations / f"{line}.xml").is_file() for line in lines[:3]):
            lines = [pair[0] for pair in words]
    raise_errors(unusable(lines, path), str(path))
    return portable(lines, folder / "JPEGImages", path)


def _files_by_stem(folder: Path) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    if folder.is_dir():
        for path in folder.iterdir():
            if is_image_file(path):
                files.setdefault(composed(path.stem), []).append(path)
    return files


def _names_another(filename: str, image_id: str, files: Mapping[str, list[Path]]) -> bool:
    """Whether an annotation says that it is of another one of the images."""
    if not filename or filename.startswith(f"{image_id}."):  # nearly all; paths are slow
        return False
    stem = composed(Path(filename.replace("\\", "/")).stem)
    return stem != composed(Path(image_id).name) and stem in files


def _finding(
    box: tuple[float, ...], size: tuple[int, int], one_based: bool
) -> tuple[Callable[..., Problem], str] | None:
    (x1, y1, x2, y2), (height, width) = box, size
    if one_based:
        x1, y1, x2, y2 = x1 - 1, y1 - 1, x2 - 1, y2 - 1
    if 0 <= x1 <= x2 - 1 < width and 0 <= y1 <= y2 - 1 < height:  # nearly all of a million
        return None
    place = f"its image of {width}x{height} px"
    if x2 < x1 or y2 < y1:
        return error, "has xmax below xmin or ymax below ymin"
    if x1 >= width or y1 >= height or x2 < 0 or y2 < 0:
        return error, f"lies outside {place}"
    if x2 - x1 < 1 or y2 - y1 < 1:
        return warning, "is less than 1 px wide or high and is not trained on"
    if min(x1, y1) < -BORDER_TOLERANCE or x2 > width + BORDER_TOLERANCE or y2 > height + BORDER_TOLERANCE:
        return warning, f"reaches beyond {place} and is clipped"
    return None
