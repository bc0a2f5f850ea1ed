"""Boxes in another form than that of their file are refused; boxes that only lie at a border are not."""

import numpy as np
import pytest

from jld.data.box_readings import CENTER_SIZE, CORNER_SIZE, CORNERS, READINGS, misread

LIMITS = np.tile([640.0, 480.0], (200, 1))


def drawn(form, seed=0):
    """200 boxes inside of their images, written in a form."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(10, 300, (200, 2))
    near = rng.uniform(0, 1, (200, 2)) * (LIMITS - size)
    first = {CORNER_SIZE: near, CENTER_SIZE: near + size / 2, CORNERS: near}[form]
    return np.concatenate([first, near + size if form == CORNERS else size], axis=1)


@pytest.mark.parametrize("form", READINGS)
@pytest.mark.parametrize("read_as", [CORNER_SIZE, CENTER_SIZE])
def test_another_form_is_recognised_by_what_leaves_the_images(form, read_as):
    said = misread(drawn(form), LIMITS, read_as)
    assert (f"but not as {form}: convert them" in said) if form != read_as else said == ""


def test_a_few_sloppy_boxes_and_boxes_that_suit_no_form_are_left_to_their_own_lines():
    boxes = drawn(CORNER_SIZE)
    boxes[:60, 0] += 200  # labels drawn over the border
    assert misread(boxes, LIMITS, CORNER_SIZE) == ""
    assert misread(drawn(CORNERS)[:2], LIMITS[:2], CORNER_SIZE) == ""
    assert misread(np.zeros((0, 4)), np.zeros((0, 2)), CORNER_SIZE) == ""


def test_a_box_of_another_form_among_sound_ones_does_not_decide():
    boxes = drawn(CORNER_SIZE)
    boxes[::20] = [300, 200, 600, 400]
    assert misread(boxes, LIMITS, CORNER_SIZE) == ""
