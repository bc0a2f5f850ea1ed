"""Marks over images: the same in pixels and in figures, files of any format, panels beside each other."""

import cv2
import numpy as np
import pytest

from jld.errors import DataError
from jld.visualization.boxes import box_marks
from jld.visualization.figures import figure_bytes, figure_to_bgr
from jld.visualization.marks import Line, Tag, beside, marks_figure, paint, titled, write_marks

SHAPE = (200, 300)
IMAGE = np.full((*SHAPE, 3), 120, np.uint8)
BOXES = [[50, 60, 150, 160], [200.0, 60, 250, 160]]


def marks(**more):
    return box_marks(SHAPE, BOXES, [0, 1], [0.9, 0.8], classes=("cat", "naïve dog $x$"), **more)


def test_a_figure_shows_what_pixels_show():
    painted, drawn = paint(IMAGE, marks()), figure_to_bgr(marks_figure(IMAGE, marks()))
    assert drawn.shape == painted.shape
    different = (np.abs(painted.astype(int) - drawn).max(2) > 60).mean()
    assert different < 0.03  # letters and smoothed edges
    assert (np.abs(painted.astype(int) - 120).max(2) > 60).mean() > 0.03


@pytest.mark.parametrize(("suffix", "start"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("eps", b"%!PS")])
def test_lines_and_text_stay_lines_and_text(tmp_path, suffix, start):
    path = write_marks(tmp_path / f"a.{suffix}", IMAGE, marks(), dpi=50)
    data = path.read_bytes()
    assert data.startswith(start)
    assert (
        data == write_marks(tmp_path / f"b.{suffix}", IMAGE, marks(), dpi=50).read_bytes() or suffix == "eps"
    )
    if suffix == "svg":
        assert b"cat 0.90" in data and "naïve dog $x$ 0.80".encode() in data


def test_pixels_stay_those_of_the_image_and_dpi_scales_figures(tmp_path):
    assert cv2.imread(str(write_marks(tmp_path / "a.PNG", IMAGE, marks()))).shape == IMAGE.shape
    figure = marks_figure(IMAGE, [])
    data = np.frombuffer(figure_bytes(figure, ".png", dpi=250), np.uint8)
    assert cv2.imdecode(data, cv2.IMREAD_COLOR).shape == (500, 750, 3)
    with pytest.raises(DataError, match=r"no figure can be a '\.sgv' file: did you mean 'svg'"):
        write_marks(tmp_path / "a.sgv", IMAGE, marks())


def test_without_text_there_are_lines_alone():
    assert all(isinstance(mark, Line) for mark in marks(with_text=False))
    assert [mark.text for mark in marks() if isinstance(mark, Tag)] == ["cat 0.90", "naïve dog $x$ 0.80"]


def test_sizes_follow_the_image():
    small, large = (box_marks(shape, BOXES[:1], [0], classes=["cat"]) for shape in ((400, 600), (4000, 6000)))
    assert large[0].thickness == pytest.approx(10 * small[0].thickness, abs=1)
    assert large[-1].scale == pytest.approx(10 * small[-1].scale, rel=0.1)


def test_panels_lie_beside_each_other():
    image, moved = beside([(IMAGE, marks()), (IMAGE, marks(with_text=False))], gap=8)
    assert image.shape == (200, 608, 3) and (image[:, 300:308] == 255).all()
    boxes = [mark.points.min(0)[0] for mark in moved if isinstance(mark, Line)]
    assert boxes == [200, 50, 508, 358]
    assert len(moved) == 6


def test_a_title_stands_above_the_image():
    image, moved = titled(IMAGE, marks(), "plain student")
    bar = image.shape[0] - 200
    assert bar > 10 and (image[:bar] == 255).all() and (image[bar:] == 120).all()
    assert moved[0].text == "plain student" and moved[0].box[3] < bar
    assert moved[1].points.min(0).tolist() == [200, 60 + bar]
    assert titled(IMAGE, [], "")[0] is IMAGE
    heights = {titled(IMAGE, [], title)[0].shape[0] for title in ("a", "gÄ", "poor", "(|")}
    assert heights == {200 + bar}
