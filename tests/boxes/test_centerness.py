"""Centerness by hand: middle, sides, outside, boxes without extent; NumPy and Jittor agree."""

import numpy as np

from jld.boxes.centerness import centerness
from jld.toolchain import jittor as jt

DISTANCES = np.float32(
    [
        [5, 3, 5, 3],  # the middle
        [1, 2, 4, 8],  # sqrt(1/4 * 2/8)
        [0, 2, 4, 2],  # on a side
        [-1, 2, 4, 2],  # left of the box
        [-1, -2, 4, 8],  # beyond two sides: the product of two negative ratios would be positive
        [0, 0, 0, 0],  # a box without extent
    ]
)
EXPECTED = [1, 0.25, 0, 0, 0, 0]


def test_values():
    np.testing.assert_allclose(centerness(DISTANCES), EXPECTED, atol=1e-7)
    np.testing.assert_allclose(centerness(DISTANCES * 8), EXPECTED, atol=1e-7)
    np.testing.assert_allclose(centerness(jt.array(DISTANCES)).numpy(), EXPECTED, atol=1e-7)
