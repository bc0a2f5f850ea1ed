import importlib.util
from pathlib import Path

import pytest

from jld.registry import Registry

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "list.py"


@pytest.fixture
def tool(monkeypatch):
    """The script as a module, with two registries that hold toy parts."""
    spec = importlib.util.spec_from_file_location("list_tool", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setattr("sys.path", ["unchanged"])
    spec.loader.exec_module(module)
    monkeypatch.setattr(Registry, "instances", [])
    shapes, colours = Registry("shape"), Registry("colour")

    class Base:
        """Not a part."""

    @shapes.register(aliases=("Ring",))
    class Circle(Base):
        """All points at one distance.

        Source: Euclid, book III.
        """

    @shapes.register
    class Box(Base):
        pass

    @colours.register
    class Red:
        """Like a rose."""

    return module


def test_everything_is_listed_by_kind(tool):
    assert tool.listing([]) == [
        "shape",
        "  Box",
        "  Circle  All points at one distance.",
        "          Also: Ring",
        "          Source: Euclid, book III.",
        "",
        "colour",
        "  Red  Like a rose.",
    ]


@pytest.mark.parametrize(
    ("wanted", "kinds"),
    [
        (["circ"], ["shape"]),
        (["ring"], ["shape"]),
        (["colour"], ["colour"]),
        (["red", "box"], ["shape", "colour"]),
    ],
)
def test_words_choose(tool, wanted, kinds):
    lines = tool.listing(wanted)
    assert [line for line in lines if line and not line.startswith(" ")] == kinds


def test_nothing_found(tool):
    assert tool.listing(["green"]) == []


def test_source_that_runs_over_several_lines_is_shown_whole(tool):
    class Part:
        """A part.

        Source: the first line,
            the second;
            the third.
        Differs: not in the source.
        """

    assert tool.describe_class(Part) == ("A part.", "the first line, the second; the third.")
