"""Means over rectangles of cells, their gradient, and rectangles painted over each other, against loops."""

import numpy as np

from jld.ops.crop_means import crop_means
from jld.ops.paint_boxes import paint_boxes
from jld.toolchain import jittor as jt


def rectangles(rng, count, height, width):
    columns, rows = (np.sort(rng.integers(0, size, (2, count, 2)), -1) for size in (width, height))
    return np.stack([columns[..., 0], rows[..., 0], columns[..., 1], rows[..., 1]], -1).astype(np.int32)


def test_crop_means_and_their_gradient():
    rng = np.random.default_rng(0)
    maps = (100 + rng.normal(size=(2, 3, 7, 9))).astype(np.float32)
    crops = rectangles(rng, 12, 7, 9)
    crops[0, :3] = (0, 0, 8, 6), (8, 6, 8, 6), (0, 3, 0, 3)
    given = rng.normal(size=(2, 12, 3)).astype(np.float32)
    expected, gradient = np.zeros((2, 12, 3)), np.zeros(maps.shape)
    for n in range(2):
        for k, (left, top, right, bottom) in enumerate(crops[n]):
            part = np.s_[n, :, top : bottom + 1, left : right + 1]
            expected[n, k] = maps[part].astype(np.float64).mean((1, 2))
            gradient[part] += (given[n, k] / ((right - left + 1) * (bottom - top + 1)))[:, None, None]
    var = jt.array(maps)
    means = crop_means(var, jt.array(crops))
    np.testing.assert_allclose(means.numpy(), expected, rtol=1e-6)
    got = jt.grad((means * jt.array(given)).sum(), var).numpy()
    np.testing.assert_allclose(got, gradient, rtol=1e-5, atol=1e-6)


def painted(boxes, values, height, width):
    shown = np.zeros((height, width), np.float32)
    for (left, top, right, bottom), value in zip(boxes, values, strict=True):
        if value < 0:
            continue
        if right > left and bottom > top:
            shown[top:bottom, left:right] = value
        else:
            cell = min(top, height - 1), min(left, width - 1)
            shown[cell] = max(shown[cell], value)
    return shown


def test_later_boxes_cover_earlier_ones():
    rng = np.random.default_rng(1)
    boxes = rectangles(rng, 20, 8, 10)
    boxes[1, :2] = (9, 7, 9, 7), (10, 8, 10, 8)  # without a cell; the second on the far corner
    values = rng.uniform(-0.3, 1, (2, 20)).astype(np.float32)
    values[1, :2] = 0.25, 0.5
    got = paint_boxes(jt.array(boxes), jt.array(values), 7, 9).numpy()
    for n in range(2):
        np.testing.assert_array_equal(got[n], painted(boxes[n].clip(None, [9, 7, 9, 7]), values[n], 7, 9))
    assert (np.diff(boxes[..., [0, 2]]) == 0).any() and len(np.unique(got)) > 8
