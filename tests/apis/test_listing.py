import pytest

from jld.apis import listing
from jld.registry import Registry


@pytest.fixture
def tool(monkeypatch):
    """The module, with two registries that hold toy parts."""
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

    return listing


def test_everything_is_listed_by_kind(tool):
    assert tool.part_lines([]) == [
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
    lines = tool.part_lines(wanted)
    assert [line for line in lines if line and not line.startswith(" ")] == kinds


def test_nothing_found(tool):
    assert tool.part_lines(["green"]) == []


def test_source_that_runs_over_several_lines_is_shown_whole(tool):
    class Part:
        """A part.

        Source: the first line,
            the second;
            the third.
        Differs: not in the source.
        """

    assert tool.describe_class(Part) == ("A part.", "the first line, the second; the third.")


def test_configs_are_listed_by_name_with_their_title(capsys):
    assert listing.main(["ld_gfl_r18_from", "configs/imitation/gi_"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[0] == "gi_gfl_r50_from_r101_1x_coco"
    assert any(line.split("  ")[-1].startswith("LD on GFL, main region only: R-18") for line in lines)
    assert not any("retinanet" in line for line in lines)


def test_weights_say_whether_they_are_here(tmp_path, monkeypatch):
    monkeypatch.setenv("JLD_WEIGHTS", str(tmp_path))
    (tmp_path / "resnet18-f37072fd.pth").touch()
    here, there = listing.weight_lines(["resnet18", "resnet34"])
    assert here.split()[:4] == ["torchvision://resnet18", "45", "MB", "here"]
    assert there.split()[3] == "https://download.pytorch.org/models/resnet34-b627a593.pth"


def test_a_word_that_nothing_has(capsys):
    assert listing.main(["weights", "vgg"]) == 1
    assert "no weights of 'vgg'" in capsys.readouterr().out
