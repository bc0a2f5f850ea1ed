"""Result files of DOTA: written, zipped, read back and checked.

Task 1 (oriented): one file per class, `image score x1 y1 x2 y2 x3 y3 x4 y4` per detection. Task 2 (upright):
`image score xmin ymin xmax ymax`. The server wants `Task1_<class>.txt`; JDet's zips leave the prefix out.
"""

from __future__ import annotations

import math
import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from jld.boxes.detections import Detections
from jld.boxes.rotated import poly_areas, polys_to_xyxy, reorder_corners
from jld.checkpoint import atomic_write
from jld.data.dota.names import check_style
from jld.data.problems import Problem, error, raise_errors, warning
from jld.data.zip_texts import read_texts
from jld.errors import ConfigError, DataError, suggestion

COORDINATES = {1: 8, 2: 4}
MAX_BROKEN_LINES = 1000
UNWRITABLE_CLASS = re.compile(r"^\.|[/\\\x00-\x1f]")
DECIMALS = {"mmrotate": 2, "jdet": 4}


@dataclass
class SubmissionReport:
    """What is in a zip and what is wrong with it.

    Attributes:
        problems: errors the server would refuse or misread, and warnings.
        num_detections: {class: count} of the lines that could be read.
        num_images: how many images have a detection.
    """

    problems: list[Problem] = field(default_factory=list)
    num_detections: dict[str, int] = field(default_factory=dict)
    num_images: int = 0

    def raise_errors(self, name: str) -> None:
        """Stops with all errors.

        Raises:
            DataError: there is an error.
        """
        raise_errors(self.problems, name)


def member_name(class_name: str, task: int = 1, style: str = "mmrotate") -> str:
    """File of a class: `Task1_plane.txt` ("mmrotate", what the server wants) or `plane.txt` ("jdet").

    Raises:
        ConfigError: unknown task or style, or a class that cannot be part of a file name.
    """
    if UNWRITABLE_CLASS.search(class_name):
        raise ConfigError(f"class {class_name!r} cannot name a result file: rename it.")
    if task not in COORDINATES:
        raise ConfigError(f"DOTA has the tasks 1 (oriented) and 2 (upright boxes), not {task!r}.")
    return f"Task{task}_{class_name}.txt" if check_style(style) == "mmrotate" else f"{class_name}.txt"


def write_submission(
    path: str | Path,
    detections: Iterable[Detections],
    classes: Sequence[str],
    *,
    task: int = 1,
    style: str = "mmrotate",
) -> Path:
    """Writes the zip with one file per class, empty where nothing was found.

    Args:
        path: of the zip; an older one is replaced once the new one is complete.
        detections: per whole image, see `merge_patches`.
        classes: names, in the order of the labels.
        task: 1 or 2.
        style: names and decimals: "mmrotate" (2) or "jdet" (4).
    Returns:
        the path.
    Raises:
        ConfigError: unknown task or style.
        DataError: an image identifier with a space in it.
    """
    lines: list[list[str]] = [[] for _ in classes]
    # Nine digits keep every float32 score apart, so the order of detections survives. One template per line:
    # a hundred thousand of them are written at the end of a test.
    numbers = " ".join([f"%.{DECIMALS[check_style(style)]}f"] * (8 if task == 1 else 4))
    line = f"%s %.9g {numbers}\n"
    for found in detections:
        image_id = str(found.img_id)
        if not image_id or re.search(r"\s", image_id):
            raise DataError(f"image {image_id!r} cannot be named in a result file: its name holds a space.")
        polys = found.corners()
        shapes = reorder_corners(polys) if task == 1 else polys_to_xyxy(polys)
        columns = (column.tolist() for column in (shapes, found.scores, found.labels))
        for shape, score, label in zip(*columns, strict=True):
            lines[int(label)].append(line % (image_id, score, *shape))
    names = [member_name(name, task, style) for name in classes]

    def write(stream: Any) -> None:
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, rows in zip(names, lines, strict=True):
                # A fixed date makes equal results equal files. Level 2 costs a tenth in size and takes a
                # fifth of the time of the default.
                archive.writestr(zipfile.ZipInfo(name), "".join(rows), zipfile.ZIP_DEFLATED, 2)

    atomic_write(path, write)
    return Path(path)


def check_submission(
    path: str | Path,
    image_ids: Iterable[str],
    classes: Sequence[str],
    *,
    task: int = 1,
    style: str = "mmrotate",
) -> SubmissionReport:
    """Looks at a zip as the server would: members, class names, every line, image names, counts.

    Args:
        path: the zip.
        image_ids: identifiers of the whole images of the test set.
        classes: names of the classes.
        task: 1 or 2.
        style: see `member_name`; the server takes the names of "mmrotate".
    Returns:
        A report; `report.raise_errors(...)` turns its errors into one message.
    Raises:
        ConfigError: unknown task or style.
    """
    rows, problems = _read_rows(Path(path), classes, task, style)
    known = {str(image_id) for image_id in image_ids}
    report = SubmissionReport(problems, dict.fromkeys(classes, 0))
    for image_id, score, _, label, file, line in rows:
        report.num_detections[classes[label]] += 1
        if image_id not in known and len(problems) < MAX_BROKEN_LINES:
            patch = " (a patch: merge first)" if "__" in image_id else ""
            problems.append(error(f"image {image_id!r} is not in the test set{patch}.", file, line))
        if not 0 <= score <= 1 and len(problems) < MAX_BROKEN_LINES:
            problems.append(error(f"has the score {score:g}; it must lie between 0 and 1.", file, line))
    shapes = np.array([row[2] for row in rows], np.float64).reshape(len(rows), COORDINATES.get(task, 8))
    for index in np.flatnonzero(_areas(shapes, task) <= 0):
        problems.append(warning("has no area.", *rows[index][4:]))
    report.num_images = len({row[0] for row in rows})
    if not rows and not problems:
        problems.append(warning("holds no detection at all.", path))
    return report


def _areas(shapes: np.ndarray, task: int) -> np.ndarray:
    return poly_areas(shapes) if task == 1 else np.prod(np.maximum(shapes[:, 2:] - shapes[:, :2], 0), 1)


def _read_rows(
    path: Path, classes: Sequence[str], task: int, style: str
) -> tuple[list[tuple], list[Problem]]:
    """Rows (image, score, numbers, label, file, line) of all members, and what could not be read."""
    expected = {member_name(name, task, style): label for label, name in enumerate(classes)}
    names, texts, problems = read_texts(path, expected)
    if problems and not names:
        return [], problems
    problems += [
        error(f"{name} is missing; every class has a file, an empty one where nothing was found.", path)
        for name in expected
        if name not in texts
    ]
    for name in names:
        if "/" in name or "\\" in name:
            problems.append(error(f"{name} stands in a folder; files must stand at the top.", path))
        elif name not in expected:
            problems.append(error(f"{name} is no result file: {suggestion(name[:80], expected)}", path))
    problems += [error(f"{name} is there twice.", path) for name, n in Counter(names).items() if n > 1]
    rows: list[tuple] = []
    num_before = len(problems)
    for name, text in texts.items():
        # Lines end with a line feed alone: other separators may stand in the name of an image.
        for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), start=1):
            try:
                rows.append((*_parse_line(line, COORDINATES[task]), expected[name], f"{path}/{name}", number))
            except ValueError as problem:
                problems.append(error(str(problem), f"{path}/{name}", number))
                if len(problems) - num_before >= MAX_BROKEN_LINES:
                    problems.append(error(f"more than {MAX_BROKEN_LINES} lines are broken.", path))
                    return rows, problems
    return rows, problems


def _parse_line(line: str, num_coordinates: int) -> tuple[str, float, list[float]]:
    tokens = line.split(maxsplit=100)  # a line may be megabytes
    if len(tokens) != 2 + num_coordinates:
        raise ValueError(f"has {len(tokens)} words; expected image, score and {num_coordinates} coordinates.")
    try:
        # float() would take `1_000` for 1000; the server's parser does not.
        score, *numbers = (float(token.replace("_", "?")) for token in tokens[1:])
    except ValueError as problem:
        raise ValueError(f"holds no number where one is expected: {str(problem)[:120]}.") from None
    if not all(map(math.isfinite, (score, *numbers))):
        raise ValueError("holds a number that is not finite.")
    return tokens[0], score, numbers
