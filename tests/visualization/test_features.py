"""Feature maps of two networks and their difference."""

import numpy as np
import pytest

from jld.visualization.features import difference, draw_features, strength


def test_equal_widths_are_compared_channel_by_channel():
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(size=(2, 4, 3, 5))
    gap, what = difference(student, teacher)
    np.testing.assert_allclose(gap, np.abs(student - teacher).mean(0))
    assert what == "mean absolute difference"
    np.testing.assert_allclose(strength(student), np.abs(student).mean(0))


def test_other_widths_are_compared_by_relative_strength():
    student = np.ones((4, 3, 5))
    teacher = 7 * np.ones((9, 3, 5))
    gap, what = difference(student, teacher)
    assert np.abs(gap).max() < 1e-12 and what == "difference of relative strengths"
    teacher[:, 0, 0] = 70
    gap, _ = difference(student, teacher)
    assert np.unravel_index(gap.argmax(), gap.shape) == (0, 0)


def test_maps_of_other_strides_are_enlarged():
    gap, _ = difference(np.ones((2, 4, 6)), np.ones((2, 2, 3)))
    assert gap.shape == (4, 6) and gap.max() == 0


@pytest.mark.parametrize("names", [["student"], ["student", "teacher"]])
def test_a_row_per_network_and_one_for_the_difference(names):
    image = np.full((64, 96, 3), 90, np.uint8)
    maps = {}
    for rank, name in enumerate(names):
        maps[name] = [np.zeros((3, 64 // stride, 96 // stride)) for stride in (8, 16)]
        maps[name][0][:, 2, 3] = 1 + rank
    sheet = draw_features(image, maps, (8, 16), panel_size=(64, 96))
    rows = {1: 1, 2: 3}[len(names)]
    cell = (sheet.shape[0] - 12) // rows - 12
    assert sheet.shape[1] == 12 + 2 * (96 + 12) and cell > 64
    hot = sheet[12 + 20, 12 + 28].astype(int)
    assert np.abs(hot - sheet[12 + 50, 12 + 80]).sum() > 150
    if rows == 3:
        # The scale is shared: half as strong in the student as in the teacher.
        below = sheet[12 + cell + 12 + 20, 12 + 28].astype(int)
        assert below[2] > hot[2]
