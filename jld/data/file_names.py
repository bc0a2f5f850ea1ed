"""Names of image files as annotation tools write them: backslashes, repetitions."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from pathlib import Path

from jld.data import values
from jld.data.problems import Problem, error, warning


def unusable(names: Sequence[str], source: object) -> list[Problem]:
    """An error for every name in a list that no file can have."""
    problems = []
    for row, name in enumerate(names, start=1):
        try:
            values.file_name(name)
        except ValueError as problem:
            problems.append(error(f"name {row} {problem}.", source))
    return problems


def as_stored(name: str, folder: Path, suffix: str = "") -> str:
    """The name as it stands on the disk, where its accents are stored in another way there.

    Args:
        name: relative to `folder`.
        folder: of the file.
        suffix: that the file has besides.
    """
    if name.isascii() or (folder / (name + suffix)).is_file():
        return name
    forms = (unicodedata.normalize(form, name) for form in ("NFC", "NFD"))
    return next((form for form in forms if (folder / (form + suffix)).is_file()), name)


def files_of_kind(folder: Path, suffix: str, pattern: str = "**/*") -> list[Path]:
    """Files of a folder with a suffix, in large or small letters, sorted."""
    return sorted(file for file in folder.glob(pattern) if file.suffix.lower() == suffix)


def portable(names: Sequence[str], folder: Path, source: object) -> tuple[list[str], list[Problem]]:
    """Names as they stand on the disk: with slashes where Windows wrote backslashes, which a line says.

    Args:
        names: relative to `folder`.
        folder: of the images; a file whose name really holds a backslash keeps it.
        source: the file that holds the names, for the message.
    """
    joined = "".join(names)
    if not joined.isascii():
        names = [as_stored(name, folder) for name in names]
    if "\\" not in joined:
        return list(names), []
    changed = [
        name.replace("\\", "/") if "\\" in name and not (folder / name).is_file() else name for name in names
    ]
    pairs = [pair for pair in zip(names, changed, strict=True) if pair[0] != pair[1]]
    if not pairs:
        return changed, []
    old, new = pairs[0]
    count = f"{len(pairs)} name{'s' if len(pairs) > 1 else ''}"
    text = (
        f"holds {count} with backslashes, as Windows writes them; they are read as folders: {old} is {new}."
    )
    return changed, [warning(text, source)]


def repeated(names: Sequence[str], places: Sequence[str], source: object) -> tuple[set[int], list[Problem]]:
    """(indices of later entries, errors) for files that are named twice, however they are spelled.

    One file under two names would be trained on twice, each time with part of its objects as background.

    Args:
        names: of image files.
        places: how the message calls each entry.
        source: the file that holds the names, for the message.
    """
    first: dict[str, int] = {}
    again, problems = set(), []
    for index, name in enumerate(names):
        before = first.setdefault(os.path.normpath(name), index)
        if before != index:
            again.add(index)
            text = f"{places[index]} is the file {name} of {places[before]}: name every image once."
            problems.append(error(text, source))
    return again, problems
