from __future__ import annotations

import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import numpy as np
import pytest

from jld import registry as reg
from jld.config.annotations import admits_dict, describe, fits, registry_of

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


@pytest.fixture
def loss(monkeypatch):
    """The interface of a registry's members, for one test."""
    monkeypatch.setattr(reg.LOSSES, "_interfaces", [])

    @reg.LOSSES.interface
    class Loss(Protocol):
        def __call__(self, pred, target, /):
            """A number."""

    return Loss


def test_the_registry_an_annotation_asks_for(loss):
    class Squared(loss):
        pass

    region = Annotated[str, reg.REGIONS]
    for annotation in (loss, loss | None, Sequence[loss], dict[str, loss | None], Squared):
        assert registry_of(annotation) is reg.LOSSES
    assert registry_of(region) is registry_of(list[region] | None) is reg.REGIONS
    for annotation in (Any, int, list[int], None, Protocol, object, Callable, Literal["loss"]):
        assert registry_of(annotation) is None


def test_a_part_is_written_as_a_section(loss):
    assert fits(SECTION, loss) and fits([SECTION], Sequence[loss] | None) and fits(None, loss | None)
    assert not any(fits(value, loss) for value in ("FocalLoss", 2.0, [SECTION]))
    assert describe(loss | None) == "dict(type=...) of a loss or None"
    assert not admits_dict(loss) and admits_dict(Mapping[str, loss])


def test_a_name_of_a_registry_is_a_word():
    region = Annotated[str, reg.REGIONS]
    assert fits("main", region) and not fits(SECTION, region) and not fits(3, region)
    assert describe(region) == "str" and not admits_dict(region)
