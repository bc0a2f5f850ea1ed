"""Label files of DOTA: one object per line, read with every malformed line reported, and written again.

A file may start with the lines `imagesource:<text>` and `gsd:<metres per pixel or null>`. An object is
`x1 y1 x2 y2 x3 y3 x4 y4 class [difficult]`; the flag is 0 (or absent), 1 for difficult objects and, in
patches, 2 for objects that a patch border cut.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from jld.checkpoint import atomic_write
from jld.data import values
from jld.data.problems import Problem, error
from jld.data.text_files import read_text, split_lines
from jld.errors import suggestion

FLAG_WORDS = ("0", "1", "2")
TRUNCATED = 2
HEADER = re.compile(r"'?(?P<key>imagesource|gsd)'?\s*:(?P<value>.*)")
PLAIN = re.compile(r"(?=.{,200}$)(?:[0-9]+(?:\.[0-9]+)?(?: |$)){8}")


@dataclass(frozen=True)
class PolyAnnotation:
    """The objects of one image: polys [n, 8] float64 px, names (n), difficult [n] int64 (0, 1, 2)."""

    polys: np.ndarray
    names: tuple[str, ...]
    difficult: np.ndarray
    image_source: str | None = None
    gsd: float | None = None

    def __len__(self) -> int:
        return len(self.names)

    @classmethod
    def of(
        cls, polys: Sequence, names: Sequence[str], difficult: Sequence[int] | None = None, **header: object
    ) -> PolyAnnotation:
        """From lists of any kind; `difficult` is 0 by default."""
        flags = np.zeros(len(names)) if difficult is None else difficult
        return cls(
            np.asarray(polys, np.float64).reshape(-1, 8),
            tuple(names),
            np.asarray(flags, np.int64).reshape(-1),
            **header,
        )

    def select(self, rows: np.ndarray) -> PolyAnnotation:
        """The objects of these rows (indices or [n] bool)."""
        rows = np.flatnonzero(rows) if np.asarray(rows).dtype == bool else np.asarray(rows, np.int64)
        return replace(
            self,
            polys=self.polys[rows],
            names=tuple(self.names[row] for row in rows),
            difficult=self.difficult[rows],
        )

    def scaled(self, rate: float) -> PolyAnnotation:
        """The objects of the image resized by `rate`."""
        return self if rate == 1 else replace(self, polys=self.polys * rate)

    def labels(self, classes: Sequence[str]) -> np.ndarray:
        """[n] int64 0-based labels; -1 for names that are not in `classes`."""
        index = {name: label for label, name in enumerate(classes)}
        return np.array([index.get(name, -1) for name in self.names], np.int64)


def read_label_file(
    path: str | Path, classes: Sequence[str] | None = None
) -> tuple[PolyAnnotation, list[Problem]]:
    """The objects of a label file and what is wrong with its other lines.

    Args:
        path: the file.
        classes: known names; objects of other classes are reported and left out. None takes any name.
    Returns:
        The objects of all sound lines, and one problem per line that could not be used, with file and line
        number.
    Raises:
        DataError: the file cannot be read at all, or is not in UTF-8.
    """
    header: dict[str, object] = {}
    rows, problems = [], []
    for number, line in enumerate(split_lines(read_text(path, "label file")), start=1):
        tokens = line.split()
        if not tokens or (not rows and not problems and _read_header(line.strip(), header)):
            continue
        try:
            rows.append(_parse_object(tokens, classes))
        except ValueError as problem:
            problems.append(error(str(problem), path, number))
    polys, names, difficult = zip(*rows, strict=True) if rows else ((), (), ())
    return PolyAnnotation.of(polys, names, difficult, **header), problems


def far_outside(polys: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """[n] bool: which objects have a corner further away from their image than the image is long.

    Objects at a border may reach beyond it, by less than their own length; such a corner is an error.

    Args:
        polys: [n, 8] px.
        sizes: [n, 2] or [2], (height, width) of their images.
    """
    points = polys.reshape(-1, 4, 2)
    limits = np.broadcast_to(sizes, (len(polys), 2))[:, None, ::-1]  # [n, 1, 2] (width, height)
    room = limits.max(axis=2, keepdims=True)
    return ((points < -room) | (points > limits + room)).any(axis=(1, 2))


def _read_header(line: str, header: dict[str, object]) -> bool:
    """Whether a line is one of the two that may stand above the objects; notes what it says."""
    match = HEADER.fullmatch(line)
    if match is None:
        return False
    value = match["value"].strip()
    if match["key"] == "imagesource":
        header["image_source"] = value
    else:
        try:
            header["gsd"] = values.number(value)
        except ValueError:  # "null" and "None" stand where it is unknown
            header["gsd"] = None
    return True


def _parse_object(tokens: list[str], classes: Sequence[str] | None) -> tuple[list[float], str, int]:
    if len(tokens) not in (9, 10):
        raise ValueError(
            f"has {len(tokens)} words, an object has 9 or 10: x1 y1 ... x4 y4 class [difficult]."
        )
    # Nearly all of a million lines are plain, which one look says.
    is_plain = PLAIN.fullmatch(" ".join(tokens[:8]))
    poly = list(map(float if is_plain else _coordinate, tokens[:8]))
    name, flag = values.composed(tokens[8]), tokens[9] if len(tokens) == 10 else "0"
    if flag not in FLAG_WORDS:
        raise ValueError(f"has the difficult flag {flag!r}; it is 0, 1 or 2.")
    if classes is not None and name not in classes:
        raise ValueError(f"class {name!r} is not in classes: {suggestion(name, classes)}")
    return poly, name, int(flag)


def _coordinate(token: str) -> float:
    try:
        return values.number(token)
    except ValueError as problem:
        raise ValueError(f"holds a coordinate that {problem}.") from None


def format_objects(annotation: PolyAnnotation) -> str:
    """One line per object, `x1 y1 ... x4 y4 class difficult`, coordinates with as many digits as they
    need.
    """
    lines = []
    for poly, name, flag in zip(annotation.polys, annotation.names, annotation.difficult, strict=True):
        lines.append(f"{' '.join(repr(float(value)) for value in poly)} {name} {flag}\n")
    return "".join(lines)


def write_label_file(path: str | Path, annotation: PolyAnnotation, *, header: bool = True) -> None:
    """Writes a label file whole or not at all; one that says the same already keeps its time.

    Args:
        path: destination.
        annotation: the objects.
        header: whether to start with `imagesource` and `gsd`; the files of patches have no header.
    """
    text = format_objects(annotation)
    if header:
        gsd = "null" if annotation.gsd is None else repr(annotation.gsd)
        text = f"imagesource:{annotation.image_source or 'null'}\ngsd:{gsd}\n{text}"
    data = text.encode("utf-8")
    with contextlib.suppress(OSError):
        if Path(path).read_bytes() == data:
            return
    atomic_write(path, lambda stream: stream.write(data))
