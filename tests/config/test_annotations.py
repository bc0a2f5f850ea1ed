from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from jld.config.annotations import admits_dict, constructor_parameters, describe, fits

SECTION = {"type": "X"}


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (int, [1, np.int64(1)], [1.0, "1", True, None, [1], SECTION]),
        (float, [1, 1.5, np.float32(1), float("inf")], ["1e-3", True, None, (1,)]),
        (bool, [True, np.bool_(False)], [1, 0, "True", None]),
        (str, ["a", Path("a")], [1, None, ["a"]]),
        (Path, ["a", Path("a")], [1, None]),
        (None, [None], [0, ""]),
        (int | None, [1, None], [1.5, "a"]),
        (typing.Optional[str], ["a", None], [1]),  # noqa: UP045
        (list, [[1, "a"], ()], [1, "ab", None, SECTION]),
        (list[int], [[], [1, 2], (1,)], [[1, "a"], [1.5], 3]),
        (Sequence[float], [[1, 2.5], (1,)], ["ab", [None]]),
        (tuple[int, ...], [(1, 2, 3), [1]], [("a",), 1]),
        (tuple[int, float], [(1, 2.5), [1, 2]], [(1,), (1, 2, 3), ("a", 1)]),
        (int | list[int], [1, [1, 2]], ["a", ["a"]]),
        (dict, [{}, SECTION], [[], 1]),
        (Mapping[str, int], [{"a": 1}], [{"a": "b"}, 1]),
        (Literal["H", "V"], ["H"], ["h", 1, None]),
        (Literal[0, 1], [0, 1], [True, 2, "0"]),
        (list[Literal["H", "V"]], [["H", "V"]], [["X"]]),
    ],
)
def test_simple_annotations(annotation, good, bad):
    assert all(fits(value, annotation) for value in good)
    assert not any(fits(value, annotation) for value in bad)


@pytest.mark.parametrize(
    "annotation", [Any, Callable, np.ndarray, list | np.ndarray, type, typing.TypeVar("T")]
)
def test_what_cannot_be_decided_is_let_through(annotation):
    assert all(fits(value, annotation) for value in (1, "a", SECTION, [SECTION], None))


def test_lists_of_sections_fit_lists_of_objects():
    assert fits([SECTION], list[np.ndarray]) and fits((SECTION,), Sequence[Any])


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (int | None, "int or None"),
        (list[str], "list of str"),
        (tuple[int, ...], "list of int"),
        (tuple[int, float], "2 values (int, float)"),
        (Literal["H", "V"], "'H' or 'V'"),
        (dict[str, int], "dict"),
    ],
)
def test_descriptions(annotation, text):
    assert describe(annotation) == text


def test_admits_dict():
    assert (
        admits_dict(dict)
        and admits_dict(dict | None)
        and admits_dict(list[dict])
        and admits_dict(Mapping[str, int])
    )
    assert not admits_dict(Any) and not admits_dict(int | None) and not admits_dict(np.ndarray)


class Partly:
    def __init__(self, size: int, part: OnlyForTypeCheckers, free, *, flag: bool = True):  # noqa: F821
        self.size = size


@dataclass
class Record:
    size: int
    names: list[str] | None = None


def test_string_annotations_are_evaluated_one_by_one():
    parameters = constructor_parameters(Partly)
    assert [parameter.annotation for parameter in parameters.values()] == [int, Any, Any, bool]
    assert parameters["flag"].default is True
    assert [parameter.annotation for parameter in constructor_parameters(Record).values()] == [
        int,
        list[str] | None,
    ]
