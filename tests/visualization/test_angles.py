"""The drawing of the angle conventions in the documentation is the one that the code makes."""

import re
from pathlib import Path

from jld.visualization.angles import angle_figure
from jld.visualization.figures import figure_bytes

DRAWN = Path(__file__).resolve().parents[2] / "docs/images/angles.svg"


def test_the_page_shows_the_current_drawing():
    now, shown = (re.sub(rb"matplotlib|[v]?\d+\.\d+[.\d]*", b"", data) for data in (
        figure_bytes(angle_figure(), ".svg"), DRAWN.read_bytes(),
    ))  # fmt: skip
    assert now == shown, "print it again: python -m jld.visualization.angles docs/images/angles.svg"


def test_every_convention_describes_both_boxes():
    titles = [axis.get_title().split(",")[0] for axis in angle_figure().axes]
    assert titles == [
        "oc: angle 30°", "le90: angle 30°", "le135: angle 30°",
        "oc: angle 30°", "le90: angle -60°", "le135: angle 120°",
    ]  # fmt: skip
