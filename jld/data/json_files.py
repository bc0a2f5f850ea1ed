"""Json files of a dataset: parsed with bounds, and their lists of objects turned into typed columns."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from jld.data import values
from jld.data.problems import Problem, error
from jld.data.text_files import read_text
from jld.errors import DataError
from jld.utils.recursion import recursion_limit

REQUIRED = object()


@dataclass(frozen=True)
class Field:
    """What one key of an object must hold.

    Attributes:
        read: the value as it is used, or `ValueError` with the end of a sentence; see `jld.data.values`.
        default: for objects without the key, or with null; `REQUIRED` refuses them.
        is_plain: whether a whole column needs no reading one by one: a file of a million objects is checked
            by a few passes over its columns.
    """

    read: Callable[[Any], Any]
    default: Any = REQUIRED
    is_plain: Callable[[list], bool] = lambda column: False


def types_of(column: Sequence) -> set[type]:
    """The types that occur in a column."""
    return set(map(type, column))


def box(value: Any) -> list[float]:
    """[x, y, width, height] as json numbers, finite or not (`nan` is reported with its image).

    Raises:
        ValueError: another number of entries, or no numbers.
    """
    if not isinstance(value, list) or len(value) != 4:
        raise ValueError(f"is {values.shown(value)}, but must be [x, y, width, height]")
    if not all(type(each) in (int, float) for each in value):
        raise ValueError(f"is {values.shown(value)}, which is not made of four numbers")
    try:
        return [float(each) for each in value]
    except OverflowError:
        raise ValueError("holds a number of more than 300 digits") from None


def _are_boxes(column: list) -> bool:
    if types_of(column) != {list} or set(map(len, column)) != {4}:
        return False
    kinds = types_of(chain.from_iterable(column))
    return kinds == {float} or (
        kinds <= {int, float} and max(map(abs, chain.from_iterable(column))) < values.LARGEST_SIDE
    )


def _are_names(column: list) -> bool:
    joined = "".join(column) if types_of(column) == {str} else ":"
    return joined.isprintable() and ":" not in joined and all(column)


def _are_finite(column: list) -> bool:
    try:
        return types_of(column) <= {int, float} and bool(np.isfinite(np.array(column, np.float64)).all())
    except OverflowError:
        return False


IDENTIFIER = Field(values.identifier, is_plain=lambda column: types_of(column) == {int})
TEXT = Field(values.text)
FILE_NAME = Field(values.file_name, is_plain=_are_names)
SIDE = Field(
    values.side,
    is_plain=lambda column: (
        types_of(column) == {int} and min(column) >= 1 and max(column) <= values.LARGEST_SIDE
    ),
)
FLAG = Field(values.flag, False, lambda column: types_of(column) <= {int, bool} and set(column) <= {0, 1})
BOX = Field(box, is_plain=_are_boxes)
AREA = Field(values.json_number, 0.0, _are_finite)


def read_json(path: str | Path, what: str, once: Sequence[str] = ()) -> Any:
    """The content of a json file.

    Args:
        path: the file.
        what: how messages call it.
        once: keys that no object may hold twice: the parser would keep the last value without a word.
    Raises:
        DataError: it cannot be read, is no UTF-8 text, no json (names line and column), nested too deep, or
            holds one of the keys twice.
    """
    text = read_text(path, what)
    # Pairs are looked at one by one only where a key seems to be there again: that takes twice as long.
    doubtful = [key for key in once if text.count(f'"{key}"') > 1]

    def joined(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        content, keys = dict(pairs), [key for key, _ in pairs]
        for key in doubtful if len(content) < len(keys) else ():
            if keys.count(key) > 1:
                raise DataError(f"{path}: an object holds {key!r} twice, and one of the two would be lost.")
        return content

    try:
        with recursion_limit():
            return json.loads(text, object_pairs_hook=joined if doubtful else None)
    except DataError:
        raise
    except json.JSONDecodeError as problem:
        raise DataError(
            f"{path}:{problem.lineno}: no valid json, {problem.msg} at column {problem.colno}."
        ) from None
    except RecursionError:
        raise DataError(f"{path}: no valid json for a dataset, it is nested too deep.") from None
    except ValueError as problem:  # a whole number of thousands of digits
        raise DataError(f"{path}: no valid json for a dataset, {problem}.") from None


def read_columns(
    entries: Sequence[Any], fields: Mapping[str, Field], place: str, path: object
) -> tuple[dict[str, list], list[int], list[Problem]]:
    """A list of json objects as one column per key.

    Args:
        entries: the list.
        fields: what each key must hold; other keys are passed over.
        place: name of the list in the file, for messages.
        path: the file, for messages.
    Returns:
        {key: values of the sound objects}, their indices in `entries`, and a problem for every key of every
        other object.
    """
    problems, broken = [], set()
    if types_of(entries) - {dict}:
        for index, entry in enumerate(entries):
            if not isinstance(entry, dict):
                problems.append(
                    error(f"{place}[{index}] is {values.shown(entry)}, but must be an object.", path)
                )
                broken.add(index)
    columns: dict[str, list] = {}
    for key, field in fields.items():
        raw = [entry.get(key) if type(entry) is dict else None for entry in entries]
        if types_of(raw) == {type(None)} and field.default is not REQUIRED:
            columns[key] = [field.default] * len(raw)
        elif field.is_plain(raw):
            columns[key] = raw
        else:
            columns[key] = _read_one_by_one(raw, field, broken, entries, (place, key, path), problems)
    kept = [index for index in range(len(entries)) if index not in broken]
    if broken:
        columns = {key: [column[index] for index in kept] for key, column in columns.items()}
    return columns, kept, problems


def _read_one_by_one(
    raw: list, field: Field, broken: set[int], entries: Sequence, where: tuple, problems: list[Problem]
) -> list:
    place, key, path = where
    column = []
    for index, value in enumerate(raw):
        result = None
        if isinstance(entries[index], dict):
            try:
                has_default = value is None and field.default is not REQUIRED
                result = field.default if has_default else field.read(value)
            except ValueError as problem:
                broken.add(index)
                identity = f" (id {values.shown(entries[index]['id'])})" if "id" in entries[index] else ""
                reason = problem if key in entries[index] else "is missing"
                problems.append(error(f"{place}[{index}]{identity}: {key} {reason}.", path))
        column.append(result)
    return column
