"""The record of what was found in one image."""

import subprocess
import sys

import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.errors import DataError

RBOX = [20.0, 10.0, 12.0, 6.0, 0.0]


def test_forms_and_types():
    upright = Detections("a", [0.5, 0.25], [1, 0], boxes=np.array([[0, 1, 2, 3], [4, 5, 6, 7]], np.float32))
    assert len(upright) == 2 and upright.form == "boxes" and upright.shapes is upright.boxes
    assert upright.scores.dtype == np.float32 and upright.labels.dtype == np.int64
    np.testing.assert_array_equal(upright.corners()[1], [4, 5, 6, 5, 6, 7, 4, 7])
    turned = Detections("a", [0.5], [1], rboxes=[RBOX])
    np.testing.assert_allclose(turned.corners(), [[14, 7, 26, 7, 26, 13, 14, 13]])
    polys = Detections("a", [0.5], [1], polys=turned.corners())
    np.testing.assert_array_equal(polys.corners(), turned.corners())


@pytest.mark.parametrize(("form", "width"), [("boxes", 4), ("rboxes", 5), ("polys", 8)])
def test_nothing_found_keeps_its_form(form, width):
    nothing = Detections(3, [], [], **{form: []})
    assert nothing.shapes.shape == (0, width) and nothing.corners().shape == (0, 8) and len(nothing) == 0
    key = "polys" if form == "polys" else "boxes"
    assert nothing.to_plain() == {"img_id": 3, key: [], "scores": [], "labels": []}


def test_they_are_shown_in_one_line():
    found = Detections("a", [0.5, 0.25, 0.75], [7, 0, 7], boxes=np.zeros((3, 4)))
    assert repr(found) == "Detections('a': 2 7, 1 0, scores 0.75 to 0.25)"
    assert repr(Detections(3, [], [], boxes=[])) == "Detections(3: nothing)"


def test_items_are_those_of_the_result_files():
    turned = Detections("a", [0.5], [1], rboxes=np.array([RBOX]))
    assert turned["boxes"] is turned.rboxes and turned["img_id"] == "a" and "polys" not in turned
    assert list(turned) == turned.keys() == ["img_id", "boxes", "scores", "labels"]
    assert dict(turned)["scores"] is turned.scores and turned.to_plain()["boxes"] == [RBOX]
    polys = Detections("a", [0.5], [1], polys=turned.corners(), masks=[{"size": [1, 1], "counts": "1"}])
    assert polys["polys"].shape == (1, 8) and polys["masks"][0]["counts"] == "1"
    with pytest.raises(KeyError):
        polys["boxes"]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "exactly one of boxes, rboxes, polys"),
        ({"boxes": [], "polys": []}, r"got \['boxes', 'polys'\]"),
        ({"boxes": [RBOX] * 4}, r"boxes of shape \[4, 5\]"),
        ({"rboxes": [RBOX] * 3}, "4 scores"),
        ({"rboxes": [RBOX] * 4, "masks": [{}]}, "1 masks"),
        ({"rboxes": [RBOX] * 4, "labels": [0]}, "1 labels"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        Detections(7, [0.5] * 4, **{"labels": [0] * 4, **values})


def test_no_jittor_is_needed():
    code = "import sys, jld.boxes.detections; print('jittor' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
