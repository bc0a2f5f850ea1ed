"""CrowdHuman: one json object for each image in the lines of an .odgt file.

Source: arXiv:1805.00123; the released annotations and their evaluation, which ignores what is no person.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from jld.data import json_files, values
from jld.data.account import Losses
from jld.data.coco import COCODataset
from jld.data.images import BrokenImageError, ImageReader
from jld.data.problems import Problem, error
from jld.data.text_files import read_text, split_lines
from jld.data.transforms import Transform
from jld.errors import ConfigError, DataError, suggestion
from jld.registry import DATASETS
from jld.utils.recursion import recursion_limit

# {kind of box: the entries of an object whose `ignore` concerns it}
MARKS = {"fbox": ("extra",), "vbox": ("extra",), "hbox": ("extra", "head_attr")}
PERSON = "person"


@DATASETS.register
class CrowdHumanDataset(COCODataset):
    """People in crowds: boxes of the whole person, of what is seen of it, or of the head.

    Objects with the tag `mask` and those whose `extra` (of heads also `head_attr`) says `ignore` are ignored
    as COCO's crowds are. Whole people reach beyond their image. Scores are COCO's AP;
    `dataset.val.evaluator="CrowdHumanEvaluator"` gives the benchmark's own in its place: AP at IoU 0.5,
    log-average miss rate and Jaccard index, those of all images with `filter_empty_gt=False`.

    Args:
        root: folder of the images, `<ID>.jpg`.
        anno_file: the .odgt file, as a path or relative to `root`.
        boxes: fbox (the whole person), vbox (what is seen of it) or hbox (its head).
        transforms, filter_empty_gt, min_size, times, image_reader, strict: see `COCODataset`.
    Raises:
        ConfigError: other boxes.
        DataError: the file cannot be used; lists every reason.
    """

    def __init__(
        self,
        root: str,
        anno_file: str,
        transforms: Iterable[Transform] | None = None,
        *,
        boxes: str = "fbox",
        filter_empty_gt: bool = True,
        min_size: int = 32,
        times: int = 1,
        image_reader: Mapping[str, Any] | None = None,
        strict: bool = True,
    ):
        if boxes not in MARKS:
            raise ConfigError(f"CrowdHumanDataset.boxes is {boxes!r}: {suggestion(boxes, MARKS)}")
        self.boxes = boxes
        super().__init__(
            root,
            anno_file,
            transforms,
            filter_empty_gt=filter_empty_gt,
            min_size=min_size,
            times=times,
            image_reader=image_reader,
            strict=strict,
        )

    def _read(
        self, folder: Path, reader: ImageReader, *, needs_annotations: bool
    ) -> tuple[dict[str, Any], list[Problem], Losses]:
        return read_odgt(self.anno_file, folder, reader, self.boxes)


def read_odgt(
    path: Path, images: Path, reader: ImageReader, boxes: str = "fbox"
) -> tuple[dict[str, Any], list[Problem], Losses]:
    """(content as that of a COCO json, what is wrong, what is not in it) of an .odgt file.

    Args:
        images: folder of the images.
        reader: tells the sizes of the images, which the file does not.
        boxes: one of `MARKS`.
    Raises:
        DataError: it cannot be read, or a line is no json object of an image.
    """
    content: dict[str, Any] = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": PERSON}],
    }
    problems, lost = [], Losses()
    for number, line in enumerate(split_lines(read_text(path, "annotation file")), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        name, objects = _image(line, where)
        try:
            height, width = reader.size(images / name)
        except (BrokenImageError, DataError) as problem:
            problems.append(error(str(problem)))
            lost.images.add("that cannot be used", name)
            lost.objects.add("in images that cannot be used", name, len(objects))
            continue
        content["images"].append({"id": Path(name).stem, "file_name": name, "height": height, "width": width})
        marks = dict.fromkeys(MARKS[boxes], json_files.Field(_ignore, False))
        fields = {"tag": json_files.TEXT, boxes: json_files.BOX, **marks}
        columns, kept, wrong = json_files.read_columns(objects, fields, "gtboxes", where)
        problems += wrong
        lost.objects.add("that cannot be used", where, len(objects) - len(kept))
        for index, tag, box, *ignored in zip(kept, *(columns[key] for key in fields), strict=True):
            content["annotations"].append(
                {
                    "id": f"{number}:{index}",
                    "image_id": Path(name).stem,
                    "category_id": 1,
                    "bbox": box,
                    "iscrowd": int(any(ignored) or tag != PERSON),
                }
            )
    if not content["images"] and not problems:
        raise DataError(f"{path}: names no image.")
    return content, problems, lost


def _image(line: str, where: str) -> tuple[str, list[Any]]:
    """(file name, objects) of a line."""
    try:
        with recursion_limit():
            entry = json.loads(line)
    except (RecursionError, ValueError) as problem:
        raise DataError(f"{where}: no valid json ({problem}); .odgt has an object per line.") from None
    if not isinstance(entry, dict) or not isinstance(entry.get("gtboxes"), list):
        raise DataError(f"{where}: no image of CrowdHuman, which has an `ID` and a list of `gtboxes`.")
    try:
        return f"{values.file_name(entry.get('ID'))}.jpg", entry["gtboxes"]
    except ValueError as problem:
        raise DataError(f"{where}: ID {problem}.") from None


def _ignore(value: Any) -> bool:
    if not isinstance(value, dict):
        raise ValueError(f"is {values.shown(value)}, but must be an object")
    try:
        return values.flag(value.get("ignore") or 0)
    except ValueError as problem:
        raise ValueError(f"holds an ignore that {problem}") from None
