"""Edge distributions: the arithmetic behind the picture, and the picture's parts."""

import numpy as np
import pytest

from jld.errors import DataError
from jld.visualization.distributions import (
    _last_bin,
    box_distances,
    draw_edge_distributions,
    expected_distances,
    softmax,
)
from jld.visualization.figures import LINE_COLORS, TRUTH_HEX

IMAGE = np.full((200, 300, 3), 255, np.uint8)


def bgr(color):
    return tuple(int(color[start : start + 2], 16) for start in (5, 3, 1))


def near(image, color, tolerance=12):
    return int((np.abs(image.astype(int) - np.array(bgr(color))).max(-1) <= tolerance).sum())


def logits(distances, bins=9):
    return -2.0 * (np.arange(bins) - np.asarray(distances, float)[..., None]) ** 2


def test_softmax_and_expectation():
    np.testing.assert_allclose(softmax(np.log([[1.0, 3.0]])), [[0.25, 0.75]])
    np.testing.assert_allclose(softmax(np.log([[1.0, 9.0]]), temperature=2), [[0.25, 0.75]])
    np.testing.assert_allclose(softmax(np.array([1e4, 0.0])), [1, 0])
    np.testing.assert_allclose(expected_distances(np.log([[1.0, 3.0]])), [0.75])
    np.testing.assert_allclose(expected_distances(logits([3, 4])), [3, 4], atol=1e-6)


def test_distances_of_a_point():
    np.testing.assert_allclose(
        box_distances(np.array([40, 40]), 8, np.array([8, 24, 48, 30])), [4, 2, 1, -1.25]
    )


def test_picture_shows_every_network_and_the_truth():
    draw = {"teacher": logits([[4, 4, 4, 4], [2, 3, 4, 5]]), "student": logits([[3, 5, 4, 4], [1, 1, 6, 6]])}
    arguments = (IMAGE, [[100, 100], [150, 90]], [16, 8], draw)
    picture = draw_edge_distributions(*arguments, gt_boxes=[[30, 40, 160, 170], [130, 60, 180, 130]])
    assert picture.dtype == np.uint8 and picture.ndim == 3
    assert near(picture, TRUTH_HEX) > 300
    assert near(picture, LINE_COLORS[0]) > 300 and near(picture, LINE_COLORS[1]) > 300
    bare = draw_edge_distributions(*arguments)
    assert near(bare, TRUTH_HEX) == 0
    one = draw_edge_distributions(IMAGE, [[100, 100]], [16], {"teacher": draw["teacher"][:1]})
    assert near(one, LINE_COLORS[1]) == 0
    assert one.shape[0] < bare.shape[0]


def test_bins_that_nobody_uses_are_not_drawn():
    assert _last_bin({"student": logits([[2, 3, 4, 1]], bins=17)}, 1.0) == 5
    assert _last_bin({"student": logits([[2, 3, 4, 1]], bins=17)}, 100.0) == 16


def test_box_beside_the_image_is_drawn():
    # A prediction that left the image altogether must not break the crop.
    picture = draw_edge_distributions(IMAGE, [[290, 195]], [64], {"student": logits([[0, 0, 8, 8]])})
    assert picture.shape[1] == 1500


@pytest.mark.parametrize(
    ("centers", "strides", "values", "gt_boxes", "message"),
    [
        ([], [], np.zeros((0, 4, 9)), None, "at least one prior"),
        ([[1, 1]], [8], np.zeros((1, 5, 9)), None, r"shape \(1, 5, 9\); expected \[1, 4, bins\]"),
        ([[1, 1]], [8, 8], np.zeros((1, 4, 9)), None, "2 strides"),
        ([[1, 1]], [8], np.zeros((1, 4, 9)), np.zeros((2, 4)), r"boxes of shape \(2, 4\)"),
    ],
)
def test_wrong_shapes(centers, strides, values, gt_boxes, message):
    with pytest.raises(DataError, match=message):
        draw_edge_distributions(IMAGE, centers, strides, {"student": values}, gt_boxes=gt_boxes)
