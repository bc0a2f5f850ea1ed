"""The algebra of Gaussian pairs against matrices in float64: values, slopes, symmetries."""

import numpy as np
import pytest

from jld import losses
from jld.losses.gaussian import mean_determinant_ratio
from jld.toolchain import jittor as jt
from tests.losses import gaussian_reference as reference

FUNCTIONS = {
    "wasserstein": (losses.squared_wasserstein, reference.wasserstein),
    "kl": (losses.kl_second_to_first, reference.kl_second_to_first),
    "bhattacharyya": (losses.bhattacharyya, reference.bhattacharyya),
    "kfiou": (losses.kfiou, reference.kfiou),
}
SYMMETRIC = ("wasserstein", "bhattacharyya", "kfiou")


def evaluate(function, first, second):
    first, second = (jt.array(np.asarray(boxes, np.float32)) for boxes in (first, second))
    return function(losses.pair_boxes(first, second)).numpy()


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_slopes_equal_the_matrix_definition(name):
    function, definition = FUNCTIONS[name]
    pred, target = reference.random_pairs(12, seed=3)
    var = jt.array(pred)
    value = function(losses.pair_boxes(var, jt.array(target)))
    grad = jt.grad(value.sum(), var).numpy()
    np.testing.assert_allclose(value.numpy(), reference.rows(definition, pred, target), rtol=1e-4, atol=1e-5)
    slopes = reference.difference_quotients(definition, pred, target)
    scale = np.abs(slopes).max(1, keepdims=True)
    np.testing.assert_allclose(grad / scale, slopes / scale, atol=1e-4)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_motions_names_and_order(name):
    function, _ = FUNCTIONS[name]
    pred, target = reference.random_pairs(12, seed=4)
    value = evaluate(function, pred, target)
    same = {
        "turned and shifted": [reference.moved(boxes, 0.7, [30, -20]) for boxes in (pred, target)],
        "sides exchanged": [reference.other_name(pred), target],
        "periods added": [pred + [0, 0, 0, 0, 3 * np.pi], target - [0, 0, 0, 0, 2 * np.pi]],
    }
    if name in SYMMETRIC:
        same["order exchanged"] = [target, pred]
    for what, pair in same.items():
        # float32 angles of several turns are known to 1e-6 rad
        np.testing.assert_allclose(evaluate(function, *pair), value, rtol=2e-4, atol=1e-5, err_msg=what)


def test_a_gaussian_is_no_distance_from_itself():
    pred, _ = reference.random_pairs(12, seed=5)
    for boxes in (pred, reference.other_name(pred)):
        assert np.abs(evaluate(losses.squared_wasserstein, pred, boxes)).max() < 1e-4  # px^2
        assert np.abs(evaluate(losses.kl_second_to_first, pred, boxes)).max() < 1e-6
        assert np.abs(evaluate(losses.bhattacharyya, pred, boxes)).max() < 1e-6
        np.testing.assert_allclose(evaluate(losses.kfiou, pred, boxes), 1 / 3, rtol=1e-6)


def test_scale_leaves_ratios_alone():
    pred, target = reference.random_pairs(12, seed=6)
    scale = np.array([50, 50, 50, 50, 1])
    for name in ("kl", "bhattacharyya", "kfiou"):
        function, _ = FUNCTIONS[name]
        small, large = evaluate(function, pred, target), evaluate(function, pred * scale, target * scale)
        np.testing.assert_allclose(large, small, rtol=1e-4, atol=1e-5, err_msg=name)


def test_determinant_ratio_of_nearly_equal_boxes_keeps_its_digits():
    # Sides longer by 1e-3: ratio - 1 = 1e-6 to first order, below the rounding of a determinant.
    grown = reference.PRED[:1] * [1, 1, 1.001, 1.001, 1]
    ratio = evaluate(lambda pair: mean_determinant_ratio(pair) - 1.0, reference.PRED[:1], grown)
    assert ratio[0] == pytest.approx(1e-6, rel=0.1)


def test_boxes_need_five_numbers():
    with pytest.raises(ValueError, match="5 numbers"):
        losses.pair_boxes(jt.zeros((2, 4)), jt.zeros((2, 5)))
