"""The picture of painted maps beside the student's."""

import numpy as np

from projects.lgd import run


def test_the_two_maps_of_a_level_share_their_colours():
    image = np.zeros((32, 48, 3), np.uint8)
    weak, strong = np.full((4, 8, 12), 0.5), np.full((4, 8, 12), 0.5)
    strong[:, 2:6, 2:6] = 4.0
    strides = (4, 8)
    same = run.draw_maps(image, [weak, weak], [strong, strong], strides)
    assert same.dtype == np.uint8 and same.shape[2] == 3
    other = run.draw_maps(image, [weak * 8, weak], [strong, strong], strides)
    rows = np.abs(same.astype(int) - other).max((1, 2)) > 0
    half = len(rows) // 2
    assert rows[:half].any() and not rows[half:].any(), "only the first level's colours may change"
