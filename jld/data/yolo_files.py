"""Label files of YOLO, a line per object in fractions of the image; the names its numbers stand for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from jld.config.yaml_text import parse_yaml
from jld.data import values
from jld.data.problems import Problem, error
from jld.data.text_files import read_list, read_text, split_lines
from jld.errors import DataError, suggestion

YAML_FILES, LIST_FILES = ("data.yaml", "dataset.yaml"), ("classes.txt", "obj.names")
UPRIGHT, CORNERS = 5, 9
"""Words of a line: class cx cy w h, and class x1 y1 x2 y2 x3 y3 x4 y4."""
OTHER_LINES = {UPRIGHT: "an upright box", 6: "a detection with its score", CORNERS: "a box of four corners"}
ROUNDED = 0.01
"""Fractions of annotation tools are off by a rounding; an upright box reaches over its image by no more."""


def read_yolo_file(
    path: str | Path, names: Sequence[str], size: tuple[int, int], *, words: int
) -> tuple[list[tuple[int, str, list[float]]], list[Problem]]:
    """The objects of a label file, and a problem for each of its other lines.

    Args:
        path: the file.
        names: of the classes, by number.
        size: (height, width) px of the image.
        words: `UPRIGHT` or `CORNERS`; lines of another kind are refused.
    Returns:
        (line, class name, numbers in px: cx, cy, w, h or four corners) of each.
    Raises:
        DataError: the file cannot be read at all, or is not in UTF-8.
    """
    rows, problems = [], []
    low, high = (-ROUNDED, 1 + ROUNDED) if words == UPRIGHT else (-1.0, 2.0)
    for number, line in enumerate(split_lines(read_text(path, "label file")), start=1):
        tokens = line.split()
        if not tokens:
            continue
        try:
            if len(tokens) != words:
                kind = OTHER_LINES.get(len(tokens), "a polygon" if len(tokens) > 6 else "no object")
                raise ValueError(f"has {len(tokens)} words, {kind}; expected {words}, {OTHER_LINES[words]}.")
            fractions = [_fraction(token, low, high) for token in tokens[1:]]
            pixels = [part * size[1 - index % 2] for index, part in enumerate(fractions)]
            rows.append((number, _name(tokens[0], names), pixels))
        except ValueError as problem:
            problems.append(error(str(problem), path, number))
    return rows, problems


def names_of_numbers(labels: Path, wanted: Sequence[str] | None) -> tuple[str, ...]:
    """Class names by number: of the data.yaml or classes.txt in the folder of label files or two above.

    Args:
        labels: the folder.
        wanted: classes that the config asks for; without such a file they are the names, in their order.
    Raises:
        DataError: there is neither; the file holds no names, or a wanted class is not among them.
    """
    for folder in (labels, *labels.absolute().parents[:2]):
        for name in (*YAML_FILES, *LIST_FILES):
            file = folder / name
            if not file.is_file():
                continue
            found = _yaml_names(file) if name in YAML_FILES else _listed_names(file)
            if not found or len(set(found)) != len(found):
                raise DataError(f"{file}: it must name at least one class, and each once; it has {found}.")
            for each in wanted or ():
                if each not in found:
                    raise DataError(f"{file} has no class {each!r}: {suggestion(each, found)}")
            return tuple(found)
    if not wanted:
        files = ", ".join((*YAML_FILES, *LIST_FILES))
        raise DataError(
            f"{labels}: YOLO's classes are numbers, and no {files} beside them says their names: give "
            "`classes`, in the order of the numbers."
        )
    return tuple(wanted)


def _listed_names(file: Path) -> list[str]:
    return list(map(values.composed, read_list(file, "list of classes")))


def _yaml_names(file: Path) -> list[str]:
    try:
        content = parse_yaml(read_text(file, "description of the data"))
    except yaml.YAMLError as problem:
        raise DataError(f"{file}: no YAML that is read, {problem}.") from None
    names: Any = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, dict) and set(names) == set(range(len(names))):
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list) or content.get("nc", len(names)) != len(names):
        raise DataError(f"{file}: `names` must be a list of class names, as many as `nc` says.")
    try:
        return [values.text(name) for name in names]
    except ValueError as problem:
        raise DataError(f"{file}: a name {problem}.") from None


def _name(token: str, names: Sequence[str]) -> str:
    try:
        number = values.number(token)
    except ValueError as problem:
        raise ValueError(f"has a class number that {problem}.") from None
    if number not in range(len(names)):
        raise ValueError(
            f"has the class number {token}, but there are the {len(names)} classes {_few(names)}."
        )
    return names[int(number)]


def _fraction(token: str, low: float, high: float) -> float:
    try:
        value = values.number(token)
    except ValueError as problem:
        raise ValueError(f"holds a coordinate that {problem}.") from None
    if not low <= value <= high:
        raise ValueError(
            f"holds the coordinate {token}; YOLO's are fractions of the image, between 0 and 1, and no px."
        )
    return value


def _few(names: Sequence[str]) -> str:
    return ", ".join(f"{number} {name}" for number, name in enumerate(names[:8])) + (
        ", ..." * (len(names) > 8)
    )
