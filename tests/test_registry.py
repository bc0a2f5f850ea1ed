import re
from types import SimpleNamespace

import pytest

from jld import registry as reg
from jld.errors import ConfigError, nearest, suggestion
from jld.registry import Registry, build, find, lookup


@pytest.fixture
def shapes(monkeypatch):
    """A registry of its own, gone after the test."""
    monkeypatch.setattr(Registry, "instances", list(Registry.instances))
    registry = Registry("shape", supplied=("canvas",))

    @registry.register
    class Circle:
        """A circle."""

        def __init__(self, radius: int, inner=None, parts=()):
            self.radius, self.inner, self.parts = radius, inner, parts

    @registry.register(name="Square", aliases=("Box",))
    class _Square:
        def __init__(self, side: int = 1, canvas=None):
            self.side, self.canvas = side, canvas

    return SimpleNamespace(registry=registry, Circle=Circle, Square=_Square)


def test_names_aliases_and_look_up(shapes):
    assert shapes.registry.names() == ["Box", "Circle", "Square"]
    assert shapes.registry.get("Box") is shapes.registry.get("Square") is shapes.Square
    assert shapes.registry.classes() == {"Circle": shapes.Circle, "Square": shapes.Square}
    assert "Circle" in shapes.registry and "circle" not in shapes.registry
    assert shapes.registry.supplied == ("canvas",)


def test_unknown_names_suggest_the_nearest(shapes):
    with pytest.raises(ConfigError, match=re.escape("unknown shape 'circel': did you mean 'Circle'?")):
        shapes.registry.get("circel")
    with pytest.raises(ConfigError, match=r"unknown shape 'Xyz': known are: Box, Circle, Square\."):
        shapes.registry.get("Xyz")
    with pytest.raises(ConfigError, match="unknown type 'Circel': did you mean 'Circle'"):
        find("Circel")


def test_names_are_unique_over_all_registries(shapes):
    other = Registry("solid")
    with pytest.raises(ConfigError, match="the name 'Box' is already registered"):
        other.register(type("Cube", (), {}), aliases=("Box",))
    assert lookup("Circle") == (shapes.registry, shapes.Circle)
    assert find("Box") is shapes.Square and lookup("nothing") is None


def test_the_same_class_may_register_again(shapes):
    twin = type(
        "Circle", (), {"__module__": shapes.Circle.__module__, "__qualname__": shapes.Circle.__qualname__}
    )
    assert shapes.registry.register(twin) is twin
    assert shapes.registry.get("Circle") is twin


def test_build_makes_nested_sections_first(shapes):
    circle = build(
        {"type": "Circle", "radius": 2, "inner": {"type": "Box", "side": 3}, "parts": [{"type": "Square"}, 7]}
    )
    assert circle.radius == 2 and isinstance(circle.inner, shapes.Square) and circle.inner.side == 3
    assert isinstance(circle.parts[0], shapes.Square) and circle.parts[1] == 7


def test_build_returns_everything_else_unchanged(shapes):
    built = shapes.Square()
    assert build(None) is None and build(built) is built and build("Circle") == "Circle"
    assert build({"a": {"b": 1}}) == {"a": {"b": 1}}
    assert build(({"type": "Square"}, 1))[1] == 1 and isinstance(build(()), tuple)


def test_build_leaves_the_section_alone(shapes):
    section = {"type": "Circle", "radius": 1, "inner": {"type": "Square"}}
    build(section)
    assert section == {"type": "Circle", "radius": 1, "inner": {"type": "Square"}}


def test_extra_arguments_reach_the_outermost_class_only(shapes):
    canvas = object()
    assert build({"type": "Square"}, canvas=canvas).canvas is canvas
    with pytest.raises(ConfigError, match="Circle takes no argument 'canvas'"):
        build({"type": "Circle", "radius": 1}, canvas=canvas)


def test_build_errors_name_the_place(shapes):
    with pytest.raises(
        ConfigError, match=r"Square at model\.inner takes no argument 'sied': did you mean 'side'"
    ):
        build({"type": "Circle", "radius": 1, "inner": {"type": "Square", "sied": 1}}, path="model")
    with pytest.raises(ConfigError, match=r"Circle at model\.parts\.0 needs radius\."):
        build({"parts": [{"type": "Circle"}]}, path="model")


def test_the_registries_of_the_contract():
    names = """DETECTORS BACKBONES NECKS HEADS LOSSES ASSIGNERS CODERS PRIORS DATASETS TRANSFORMS EVALUATORS
        OPTIMIZERS SCHEDULERS TEACHERS REGIONS TERMS HOOKS"""
    found = [getattr(reg, name) for name in names.split()]
    assert all(registry in Registry.instances for registry in found)
    assert len({registry.kind for registry in found}) == len(found)


def test_nearest_ignores_case_and_gives_up_on_strangers():
    assert nearest("RESNET", ["ResNet", "FPN"]) == "ResNet"
    assert nearest("qqq", ["ResNet", "FPN"]) is None
    assert suggestion("x", []) == "none is registered."
    assert suggestion("zzz", list("abcdefghij")) == "known are: a, b, c, d, e, f, g, h, ...."
