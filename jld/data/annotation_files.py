"""The annotations of a folder of images, whatever tool wrote them, in the form of COCO's json."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jld.data.account import Losses
from jld.data.coco_table import read_coco_json
from jld.data.cvat import read_cvat_xml
from jld.data.images import ImageReader
from jld.data.labelme import read_labelme_folder
from jld.data.problems import Problem
from jld.errors import DataError


def read_annotations(
    path: Path, images: Path, reader: ImageReader, *, needs_annotations: bool = True
) -> tuple[dict[str, Any], list[Problem], Losses]:
    """(content, findings, what is not in it) of a COCO json, an xml of CVAT, or a folder of labelme's files.

    Args:
        path: the file or folder.
        images: folder of the images.
        reader: tells sizes that labelme does not.
        needs_annotations: False also accepts a json without annotations, as test sets have.
    Returns:
        the three lists of a COCO json, see `read_coco_json`.
    Raises:
        DataError: the annotations cannot be used at all.
    """
    if path.is_dir():
        content, problems, lost = read_labelme_folder(path, images, reader)
    elif path.suffix.lower() == ".xml":
        content, problems, lost = read_cvat_xml(path)
    else:
        return read_coco_json(path, needs_annotations=needs_annotations), [], Losses()
    if not content["images"] and not problems:
        raise DataError(f"{path}: names no image.")
    return content, problems, lost
