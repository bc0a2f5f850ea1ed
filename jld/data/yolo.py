"""Datasets in the layout of YOLO: a folder of images and one of text files with upright boxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jld.data.account import Losses, Tally
from jld.data.box_readings import CENTER_SIZE
from jld.data.classes import class_names
from jld.data.coco_table import read_categories, read_table
from jld.data.dataset import DetectionDataset
from jld.data.file_names import files_of_kind
from jld.data.images import BrokenImageError, ImageReader, list_images
from jld.data.problems import Problem, error, raise_errors, warning
from jld.data.tables import drop_images
from jld.data.transforms import Transform
from jld.data.values import composed
from jld.data.yolo_files import LIST_FILES, UPRIGHT, names_of_numbers, read_yolo_file
from jld.errors import DataError
from jld.registry import DATASETS


@DATASETS.register
class YOLODataset(DetectionDataset):
    """Images and upright boxes from label files of YOLO, `class cx cy w h` in fractions of the image.

    Rotated ones (YOLO-OBB) are read by `DOTADataset(label_format="yolo_obb")`.

    Args:
        images_dir: folder, searched with its subfolders.
        labels_dir: folder with `<image>.txt` of each; default: the last `images` in `images_dir` replaced by
            `labels`. An image without a file has no object; a line says how many those are.
        transforms: built transforms, in order.
        classes: names in the order of the labels. What the files' numbers stand for is said by the data.yaml
            or classes.txt in `labels_dir` or up to two folders above; without one, by `classes`.
        filter_empty_gt: leave out images without an object of these classes, and images with a side below
            `min_size`. False keeps every image: for evaluation, and to train on images without objects.
        min_size: px, see above.
        times: how often one epoch visits each image.
        image_reader: how image files are read, see `ImageReader`: orientation, bits, max_pixels.
        strict: False collects errors in `problems` instead of raising them; what they touch is dropped.
    Raises:
        DataError: annotations cannot be used; lists every reason with file and line.
    """

    def __init__(
        self,
        images_dir: str,
        labels_dir: str | None = None,
        transforms: Iterable[Transform] | None = None,
        classes: str | Sequence[str] | None = None,
        *,
        filter_empty_gt: bool = True,
        min_size: int = 32,
        times: int = 1,
        image_reader: Mapping[str, Any] | None = None,
        strict: bool = True,
    ):
        images = Path(images_dir)
        labels = Path(labels_dir) if labels_dir else labels_beside(images)
        for folder in (images, labels):
            if not folder.is_dir():
                raise DataError(f"{folder} is no folder.")
        wanted, reader = class_names(classes), ImageReader.of(image_reader)
        content, problems, lost = _content(images, labels, names_of_numbers(labels, wanted), reader)
        categories, found = read_categories(content["categories"], wanted, labels)
        read = read_table(content, categories, images, labels, box_form=CENTER_SIZE)
        problems += found + read.problems
        if strict:
            raise_errors(problems, str(labels))
        lost.update(read.lost)
        table = drop_images(
            read.table, str(images), min_size=min_size, filter_empty_gt=filter_empty_gt, lost=lost
        )
        super().__init__(
            table, categories.names, transforms, problems, times=times, lost=lost, image_reader=reader
        )


def _key(file: Path, folder: Path) -> str:
    return composed(str(file.relative_to(folder).with_suffix("")))


def labels_beside(images: Path) -> Path:
    """The folder of label files: the last `images` in a path replaced by `labels`.

    Raises:
        DataError: there is no such part.
    """
    parts = list(images.parts)
    if "images" not in parts:
        raise DataError(f"{images} has no folder named images in it: give labels_dir.")
    parts[len(parts) - 1 - parts[::-1].index("images")] = "labels"
    return Path(*parts)


def _content(
    images: Path, labels: Path, names: Sequence[str], reader: ImageReader
) -> tuple[dict[str, list], list[Problem], Losses]:
    """(content as of a COCO json, so that one place checks boxes; findings; what is not in it)."""
    content: dict[str, list] = {"images": [], "annotations": []}
    content["categories"] = [{"id": number, "name": name} for number, name in enumerate(names)]
    label_files = {_key(file, labels): file for file in files_of_kind(labels, ".txt")}
    problems: list[Problem] = []
    lost, without = Losses(), Tally()
    seen: dict[str, Path] = {}
    for file in list_images(images):
        place = file.relative_to(images)
        key = _key(file, images)
        label_file = label_files.pop(key, None)
        try:
            if (first := seen.setdefault(key, file)) != file:
                raise DataError(f"{file}: has the same label file as {first.name}.")
            size = reader.size(file)
            rows, found = read_yolo_file(label_file, names, size, words=UPRIGHT) if label_file else ([], [])
        except (BrokenImageError, DataError) as problem:
            problems.append(error(str(problem)))
            lost.images.add("that cannot be used", place)
            continue
        if label_file is None:
            without.add("images have no label file and count as images without an object", place)
        problems += found
        lost.objects.add("that cannot be used", found[0] if found else "", len(found))
        image = {"id": str(place), "file_name": str(place), "height": size[0], "width": size[1]}
        content["images"].append(image)
        for line, name, (x, y, width, height) in rows:
            entry = {"id": f"{label_file}:{line}", "image_id": str(place), "category_id": names.index(name)}
            content["annotations"].append(entry | {"bbox": [x - width / 2, y - height / 2, width, height]})
    if not seen:
        raise DataError(f"{images} holds no image.")
    problems += [
        error(f"has no image in {images}.", file)
        for file in label_files.values()
        if file.name not in LIST_FILES
    ]
    problems += [warning(f"{without}.", labels)] if without.total else []
    return content, problems, lost
