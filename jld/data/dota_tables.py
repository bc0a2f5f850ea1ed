"""Tables of annotations from the layouts of DOTA: a folder of label files, and JDet's labels.pkl."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from jld.boxes.rotated import rboxes_to_polys, regularize_rboxes
from jld.data.account import Losses, Tally
from jld.data.classes import unmatched_names
from jld.data.dota.formats import LabelFormat
from jld.data.dota.jdet_labels import read_jdet_labels
from jld.data.dota.labels import PolyAnnotation
from jld.data.file_names import files_of_kind, portable, repeated
from jld.data.images import BrokenImageError, ImageReader, is_image_file
from jld.data.oriented import is_degrees, oriented_table
from jld.data.problems import error, warning
from jld.data.tables import ReadTable
from jld.data.values import composed
from jld.errors import DataError

NOTHING = PolyAnnotation.of([], [])
WITHOUT_LABELS = "image has no label file; an image without objects has an empty one."


def read_labels_pkl(
    images: Path, source: Path, classes: Sequence[str], options: Mapping[str, str]
) -> ReadTable:
    """The table of a labels.pkl.

    Args:
        images: folder of images.
        source: the file.
        classes: names, in the order of the labels.
        options: `angle_version` and `difficult` of `oriented_table`.
    Raises:
        DataError: see `read_jdet_labels`.
    """
    rows, columns, lost = [], {"polys": [], "labels": [], "flags": [], "rboxes": []}, Losses()
    entries = read_jdet_labels(source, len(classes))
    names, problems = portable([entry["filename"] for entry in entries], images, source)
    again, repetitions = repeated(names, [f"entry {index}" for index in range(len(names))], source)
    problems += repetitions
    for index, (entry, name) in enumerate(zip(entries, names, strict=True)):
        ann = entry["ann"]
        rboxes = np.concatenate([ann["bboxes"], ann["bboxes_ignore"]]).astype(np.float64)
        if index in again:
            lost.images.add("named twice", name)
            lost.objects.add("in images named twice", name, len(rboxes))
            continue
        if not np.isfinite(rboxes).all() or is_degrees(rboxes):
            problems.append(error(f"{name} has angles that are no radians, or no numbers at all.", source))
            lost.objects.add("that cannot be used", f"image {name}", len(rboxes))
            rboxes = np.zeros((0, 5))
        kept = len(rboxes)
        labels = np.concatenate([ann["labels"], ann["labels_ignore"]]) - 1
        flags = np.repeat([0, 1], [len(ann["labels"]), len(ann["labels_ignore"])])
        rows.append((Path(name).stem, str(images / name), (entry["height"], entry["width"])))
        columns["polys"].append(rboxes_to_polys(rboxes))
        columns["rboxes"].append(regularize_rboxes(rboxes, options["angle_version"]))
        columns["labels"].append(labels[:kept])
        columns["flags"].append(flags[:kept])
    return ReadTable(oriented_table(rows, **columns, **options), problems, lost)


def read_label_folder(
    images: Path,
    folder: Path,
    classes: Sequence[str],
    *,
    layout: LabelFormat,
    options: Mapping[str, str],
    reader: ImageReader,
) -> ReadTable:
    """The table of a folder of label files.

    Args:
        images, folder: of the images, and of one label file for each.
        classes: names, in the order of the labels; objects of others are passed over.
        layout: of the files.
        options: `angle_version` and `difficult` of `oriented_table`.
        reader: tells the images' sizes.
    Raises:
        DataError: there is no image.
    """
    label_files = {composed(file.stem): file for file in files_of_kind(folder, layout.suffix, "*")}
    rows, columns, problems = [], {"polys": [], "labels": [], "flags": []}, []
    lost, passed_over, without, seen = Losses(), Tally(), Tally(), {}
    for file in _image_files(images):
        label_file = label_files.pop(composed(file.stem), None)
        try:
            if (first := seen.setdefault(composed(file.stem), file)) is not file:
                raise DataError(f"{file}: has the same name as {first.name}, results could not tell them.")
            if label_file is None and not layout.may_be_missing:
                raise DataError(f"{file}: {WITHOUT_LABELS}")
            header = reader.header(file)
            size = header.size(reader.orientation)
            annotation, found = layout.read(label_file, size) if label_file else (NOTHING, [])
        except (BrokenImageError, DataError) as problem:
            problems.append(error(str(problem)))
            lost.images.add("that cannot be used", file.name)
            continue
        if label_file is None:
            without.add("images have no label file and count as images without an object", file.name)
        problems += found
        lost.objects.add("that cannot be used", found[0] if found else "", len(found))
        labels = annotation.labels(classes)
        for row in np.flatnonzero(labels < 0):
            passed_over.add(annotation.names[row], label_file.name)
        if conflict := reader.conflict(header, centers=annotation.polys.reshape(-1, 4, 2).mean(1)):
            problems.append(error(conflict, file))
        known = annotation.select(labels >= 0)
        rows.append((file.stem, str(file), size))
        columns["polys"].append(known.polys)
        columns["labels"].append(labels[labels >= 0])
        columns["flags"].append(known.difficult)
    strangers = [file for file in label_files.values() if file.name not in layout.others]
    problems += [error(f"has no image in {images}.", file) for file in strangers]
    problems += [warning(f"{without}.", folder)] if without.total else []
    used = {classes[label] for labels in columns["labels"] for label in set(labels.tolist())}
    problems += unmatched_names(classes, used, passed_over, folder)
    _count_unwanted(passed_over, lost)
    return ReadTable(oriented_table(rows, **columns, **options), problems, lost)


def _image_files(images: Path) -> list[Path]:
    files = sorted(file for file in images.iterdir() if is_image_file(file))
    if not files:
        raise DataError(f"{images} holds no image.")
    return files


def _count_unwanted(passed_over: Tally, lost: Losses) -> None:
    for name, count in passed_over.counts.items():
        lost.objects.add(f"of the class {name}, which is not wanted", passed_over.examples[name], count)
