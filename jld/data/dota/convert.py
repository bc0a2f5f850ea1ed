"""Other datasets of rotated boxes rewritten in the layout of DOTA: `images/*.png`, `labelTxt/*.txt`.

A second run goes on where the first one stopped: an image whose label file is there is done.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2

from jld.data.dota.classes import DIOR_CLASSES, HRSC_CLASSES, SHIP_CLASSES
from jld.data.dota.jdet_labels import jdet_entry, write_jdet_labels
from jld.data.dota.labels import read_label_file, write_label_file
from jld.data.dota.xml_readers import Reader, read_dior_xml, read_fair_xml, read_hrsc_xml, read_ssdd_xml
from jld.data.images import ImageReader, is_image_file, read_size
from jld.data.problems import error, listing
from jld.data.text_files import read_list
from jld.errors import DataError
from jld.utils.map_shards import map_shards

DEFAULT_READER = ImageReader()


@dataclass(frozen=True)
class ConvertJob:
    """One image to rewrite; without `xml` it has no labels, without `resize` it keeps its size."""

    image_file: Path
    xml: Path | None
    name: str
    target: Path
    read: Reader | None = None
    resize: int | None = None
    image_reader: ImageReader = DEFAULT_READER


def convert_fair(
    source: Path, target: Path, num_workers: int | str = 0, *, image_reader: ImageReader = DEFAULT_READER
) -> int:
    """FAIR1M: `images/<n>.tif` and, but for test, `labelXml/<n>.xml`; images become `P<n, 4 digits>.png`."""
    labels = source / "labelXml"
    job = partial(ConvertJob, target=target, read=read_fair_xml, image_reader=image_reader)
    jobs = [
        job(image, labels / f"{stem}.xml" if labels.is_dir() else None, f"P{stem.zfill(4)}")
        for stem, image in _images_in(source / "images").items()
    ]
    return _convert(jobs, num_workers)


def convert_ssdd(
    source: Path,
    target: Path,
    label: str,
    resize: int = 800,
    num_workers: int | str = 0,
    *,
    rotated: bool = False,
    image_reader: ImageReader = DEFAULT_READER,
) -> int:
    """SSDD and SSDD+: `JPEGImages_<label>`, `Annotations_<label>`; images are stretched to a square, as in
    JDet.
    """
    images, annotations = _images_in(source / f"JPEGImages_{label}"), source / f"Annotations_{label}"
    read = partial(read_ssdd_xml, rotated=rotated)
    job = partial(ConvertJob, target=target, read=read, resize=resize, image_reader=image_reader)
    jobs = [job(image, annotations / f"{stem}.xml", stem) for stem, image in images.items()]
    return _convert(jobs, num_workers, SHIP_CLASSES)


def convert_hrsc(
    source: Path,
    target: Path,
    label: str,
    num_workers: int | str = 0,
    *,
    classwise: bool = False,
    image_reader: ImageReader = DEFAULT_READER,
) -> int:
    """HRSC2016: `FullDataSet/AllImages`, `FullDataSet/Annotations`, `ImageSets/<label>.txt`."""
    data, read = source / "FullDataSet", partial(read_hrsc_xml, classwise=classwise)
    job = partial(ConvertJob, target=target, read=read, image_reader=image_reader)
    listed = _listed(source / "ImageSets" / f"{label}.txt", _images_in(data / "AllImages"))
    jobs = [job(image, data / "Annotations" / f"{stem}.xml", stem) for stem, image in listed]
    return _convert(jobs, num_workers, HRSC_CLASSES if classwise else SHIP_CLASSES)


def convert_dior(
    source: Path,
    target: Path,
    label: str,
    num_workers: int | str = 0,
    *,
    image_reader: ImageReader = DEFAULT_READER,
) -> int:
    """DIOR-R: `JPEGImages-trainval`, `JPEGImages-test`, `Annotations/Oriented Bounding Boxes`,
    `Main/<label>.txt`.
    """
    folders = (source / "JPEGImages-trainval", source / "JPEGImages-test")
    images = {
        stem: file for folder in folders if folder.is_dir() for stem, file in _images_in(folder).items()
    }
    annotations = source / "Annotations" / "Oriented Bounding Boxes"
    job = partial(ConvertJob, target=target, read=read_dior_xml, image_reader=image_reader)
    listed = _listed(source / "Main" / f"{label}.txt", images)
    return _convert(
        [job(image, annotations / f"{stem}.xml", stem) for stem, image in listed], num_workers, DIOR_CLASSES
    )


CONVERTERS = {
    "FAIR": convert_fair,
    "FAIR1M_1_5": convert_fair,
    "SSDD": convert_ssdd,
    "SSDD+": partial(convert_ssdd, rotated=True),
    "HRSC2016": convert_hrsc,
    "DIOR-R": convert_dior,
}


def _convert(jobs: Sequence[ConvertJob], num_workers: int | str, classes: Sequence[str] | None = None) -> int:
    """Runs all jobs, then writes `labels.pkl` where the images are used as they are (`classes` given)."""
    problems = [
        problem
        for _, found in map_shards(_convert_one, jobs, num_workers, lambda job: str(job.image_file))
        for problem in found
    ]
    if problems:
        raise DataError(
            f"{len(problems)} objects cannot be used; mend them and run again:\n{listing(problems)}"
        )
    if classes is not None and jobs:
        entries = []
        for job in jobs:
            annotation, _ = read_label_file(job.target / "labelTxt" / f"{job.name}.txt")
            height, width = read_size(job.target / "images" / f"{job.name}.png")
            if len(annotation):
                entries.append(jdet_entry(f"{job.name}.png", width, height, annotation, classes))
        write_jdet_labels(jobs[0].target / "labels.pkl", entries)
    return len(jobs)


def _convert_one(job: ConvertJob) -> list:
    image_file, label_file = (
        job.target / "images" / f"{job.name}.png",
        job.target / "labelTxt" / f"{job.name}.txt",
    )
    if image_file.is_file() and (job.xml is None or label_file.is_file()):
        return []
    annotation, problems = job.read(job.xml) if job.xml else (None, [])
    if problems:
        return problems
    centers = annotation.polys.reshape(-1, 4, 2).mean(1) if annotation else None
    if conflict := job.image_reader.conflict(job.image_reader.header(job.image_file), centers=centers):
        return [error(conflict, job.image_file)]
    image = job.image_reader.read(job.image_file)
    height, width = image.shape[:2]
    if job.resize is not None:
        image = cv2.resize(image, (job.resize, job.resize))
    image_file.parent.mkdir(parents=True, exist_ok=True)
    temporary = image_file.with_name(f".{image_file.name}.part.png")
    if not cv2.imwrite(str(temporary), image):
        raise DataError(f"{image_file}: image cannot be written.")
    temporary.replace(image_file)
    if annotation is not None:
        if job.resize is not None:
            scale = [job.resize / width, job.resize / height] * 4
            annotation = type(annotation).of(annotation.polys * scale, annotation.names, annotation.difficult)
        write_label_file(label_file, annotation)
    return []


def _images_in(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; is the source path right?")
    return {file.stem: file for file in sorted(folder.iterdir()) if is_image_file(file)}


def _listed(path: Path, images: Mapping[str, Path]) -> list[tuple[str, Path]]:
    """(name, image) of every line of a list."""
    names = read_list(path, "list of images")
    missing = [name for name in names if name not in images]
    if missing:
        raise DataError(f"image {missing[0]} is listed in {path}, but there is no such image.")
    return [(name, images[name]) for name in names]
