"""What is read from constructors: annotations, defaults, and the docstring's Args."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jld.config.constructors import argument_meanings, constructor_parameters


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


class Documented:
    """A part, as a reader of its source sees it.

    Args:
        depth: number of layers, one of
            18 and 34.
        low, high: limits in px; `low` is
            inside.
        name: what it is called: free.
    Raises:
        ConfigError: never read as an argument.
    """


def test_meanings_of_arguments():
    assert argument_meanings(Documented) == {
        "depth": "number of layers, one of 18 and 34",
        "low": "limits in px; `low` is inside",
        "high": "limits in px; `low` is inside",
        "name": "what it is called: free",
    }
    assert argument_meanings(Partly) == argument_meanings(type("Bare", (), {"__doc__": None})) == {}
