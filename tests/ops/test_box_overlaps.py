"""Overlaps and expectations with their gradients against NumPy in double precision."""

import numpy as np
import pytest

from jld.boxes.overlaps import aligned_overlaps
from jld.ops.box_overlaps import MODES, box_overlaps
from jld.ops.expectation import expected_bins, expected_values
from jld.toolchain import jittor as jt


def random_boxes(rng, *shape):
    corner, size = rng.uniform(0, 40, (*shape, 2)), rng.uniform(5, 30, (*shape, 2))
    return np.concatenate([corner, corner + size], -1)


def differences(function, x, step=1e-5):
    """Gradient of the sum of function(x), by central differences in double precision."""
    slope = np.zeros_like(x)
    for place in np.ndindex(x.shape):
        change = np.zeros_like(x)
        change[place] = step
        slope[place] = (function(x + change) - function(x - change)).sum() / (2 * step)
    return slope


def value_and_slope(function, x, weights):
    var = jt.array(x.astype(np.float32))
    values = function(var)
    return values.numpy(), jt.grad((values * jt.array(weights.astype(np.float32))).sum(), var).numpy()


@pytest.mark.parametrize("mode", MODES)
def test_overlaps_and_their_gradient(mode):
    rng = np.random.default_rng(0)
    boxes, targets = (random_boxes(rng, 2, 12).astype(np.float32).astype(np.float64) for _ in range(2))
    boxes[0, 0] = [1, 2, 3, 4]  # far from its target
    targets[0, 0] = [30, 30, 40, 41]
    boxes[0, 1] = [10, 10, 20, 20]  # around its target
    targets[0, 1] = [12, 12, 18, 19]
    weights = rng.uniform(0.5, 2, (2, 12))

    def reference(x):
        return weights * aligned_overlaps(x, targets, mode)

    given = jt.array(targets.astype(np.float32))
    values, slope = value_and_slope(lambda x: box_overlaps(x, given, mode), boxes, weights)
    np.testing.assert_allclose(values * weights, reference(boxes), atol=1e-6)
    np.testing.assert_allclose(slope, differences(reference, boxes), atol=1e-5)
    assert (
        not jt.grad(box_overlaps(jt.array(boxes.astype(np.float32)), given, mode).sum(), given).numpy().any()
    )


def test_equal_coordinates_are_those_of_the_prediction():
    box = np.array([[2.0, 3.0, 12.0, 8.0]])
    target = jt.array(box.astype(np.float32))
    values, slope = value_and_slope(lambda x: box_overlaps(x, target), box, np.ones(1))
    np.testing.assert_allclose(values, 1, rtol=1e-6)
    np.testing.assert_allclose(slope, [[-0.1, -0.2, 0.1, 0.2]], rtol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_boxes_of_no_size_have_finite_gradients(mode):
    boxes = np.array([[5.0, 5, 5, 5], [5, 5, 5, 5], [9, 9, 3, 3]])
    targets = jt.array(np.float32([[5, 5, 5, 5], [0, 0, 10, 10], [0, 0, 10, 10]]))
    values, slope = value_and_slope(lambda x: box_overlaps(x, targets, mode), boxes, np.ones(3))
    assert np.isfinite(values).all() and np.isfinite(slope).all()


def test_overlaps_say_what_does_not_fit():
    boxes = jt.zeros((3, 4))
    with pytest.raises(ValueError, match="diou"):
        box_overlaps(boxes, boxes, "diou")
    with pytest.raises(ValueError, match="shape"):
        box_overlaps(boxes, boxes[:1])


def softmax_mean(logits, supports):
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    return (shares * supports).sum(-1) / shares.sum(-1)


def test_expectations_and_their_gradient():
    rng = np.random.default_rng(1)
    logits = rng.standard_normal((5, 3, 9)) * 3
    logits[0, 0, 4] = 200  # certain
    supports = np.linspace([0, -2, 5], [8, 2, 6], 9, axis=1)
    weights = rng.uniform(0.5, 2, (5, 3))
    values, slope = value_and_slope(lambda x: expected_values(x, supports), logits, weights)
    np.testing.assert_allclose(values, softmax_mean(logits, supports), rtol=1e-5, atol=1e-6)
    expected = differences(lambda x: weights * softmax_mean(x, supports), logits)
    np.testing.assert_allclose(slope, expected, atol=2e-5)
    bins = expected_bins(jt.array(logits.astype(np.float32))).numpy()
    np.testing.assert_allclose(bins, softmax_mean(logits, np.arange(9)), rtol=1e-5)
