"""What a folder of label files of rotated boxes may hold: lines of DOTA or YOLO-OBB, xml of roLabelImg."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from jld.data.dota.labels import PolyAnnotation, read_label_file, write_label_file
from jld.data.dota.xml_readers import read_rolabelimg_xml
from jld.data.images import BrokenImageError, ImageReader, is_image_file
from jld.data.problems import Problem, error, raise_errors
from jld.data.yolo_files import CORNERS, LIST_FILES, names_of_numbers, read_yolo_file
from jld.errors import ConfigError, DataError, one_of

DOTA = "dota"


@dataclass(frozen=True)
class LabelFormat:
    """How the label files of a folder are read.

    Attributes:
        suffix: of the files.
        read: (file, (height, width) px of its image) -> (objects, problems).
        names: of the classes, where the folder says them; () otherwise.
        may_be_missing: whether an image without a file has no objects, or is an error.
        others: files that are no labels.
    """

    suffix: str
    read: Callable[[Path, tuple[int, int]], tuple[PolyAnnotation, list[Problem]]]
    names: tuple[str, ...] = ()
    may_be_missing: bool = False
    others: tuple[str, ...] = ()


def _dota(folder: Path, wanted: Sequence[str] | None, default: Sequence[str]) -> LabelFormat:
    return LabelFormat(".txt", lambda file, size: read_label_file(file, None if wanted else default))


def _rolabelimg(folder: Path, wanted: Sequence[str] | None, default: Sequence[str]) -> LabelFormat:
    if not wanted:
        raise ConfigError(f"the classes of roLabelImg's files in {folder} are your own: give `classes`.")
    return LabelFormat(".xml", read_rolabelimg_xml)


def _yolo_obb(folder: Path, wanted: Sequence[str] | None, default: Sequence[str]) -> LabelFormat:
    names = names_of_numbers(folder, wanted)

    def read(file: Path, size: tuple[int, int]) -> tuple[PolyAnnotation, list[Problem]]:
        rows, problems = read_yolo_file(file, names, size, words=CORNERS)
        return PolyAnnotation.of([row[2] for row in rows], [row[1] for row in rows]), problems

    return LabelFormat(".txt", read, names, may_be_missing=True, others=LIST_FILES)


LABEL_FORMATS = {DOTA: _dota, "rolabelimg": _rolabelimg, "yolo_obb": _yolo_obb}


def format_of(
    name: str, folder: Path, wanted: Sequence[str] | None, default: Sequence[str] = ()
) -> LabelFormat:
    """The format of a folder.

    Args:
        name: one of `LABEL_FORMATS`.
        folder: of the label files.
        wanted: classes that the config asks for; objects of others are passed over.
        default: the only classes that files of DOTA may hold where it asks for none.
    Raises:
        ConfigError: unknown format, or one that needs `classes`.
        DataError: the folder does not say what its class numbers stand for.
    """
    one_of(name, LABEL_FORMATS, f"label_format is {name!r}")
    return LABEL_FORMATS[name](folder, wanted, default)


def rewrite_as_dota(
    name: str, folder: Path, target: Path, classes: Sequence[str], reader: ImageReader
) -> None:
    """Writes `<target>/<image>.txt` in DOTA's format for every image in `<folder>/images`.

    Args:
        name: of the format of the files in `<folder>/labels`.
        folder: as above.
        target: made if it is not there.
        classes: names in the order of the labels.
        reader: tells the images' sizes.
    Raises:
        DataError: a folder is missing, or files and objects cannot be used; lists all of them.
    """
    images, labels = folder / "images", folder / "labels"
    for needed in (images, labels):
        if not needed.is_dir():
            raise DataError(f"{needed} is no folder; the layout is <source>/<label>/images and labels.")
    layout = format_of(name, labels, classes)
    problems: list[Problem] = []
    for image in sorted(filter(is_image_file, images.iterdir())):
        file = labels / f"{image.stem}{layout.suffix}"
        annotation = PolyAnnotation.of([], [])
        try:
            if file.is_file() or not layout.may_be_missing:
                annotation, found = layout.read(file, reader.size(image))
                problems += found
        except (BrokenImageError, DataError) as problem:
            problems.append(error(str(problem)))
        for spaced in {each for each in annotation.names if len(each.split()) != 1}:
            problems.append(error(f"class {spaced!r} holds a space, which a line of DOTA cannot.", file))
        if not problems:
            write_label_file(target / f"{image.stem}.txt", annotation)
    raise_errors(problems, str(labels))
