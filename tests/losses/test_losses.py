"""Losses beyond the reference arrays: closed forms, extremes, kinks, teacher gradients, errors."""

import numpy as np
import pytest

from jld import losses
from jld.errors import ConfigError
from jld.toolchain import jittor as jt

BINS = np.arange(17, dtype=np.float32)
TEACHER = (-0.25 * (BINS - 6) ** 2).astype(np.float32)


def value_and_grad(function, pred, *args):
    var = jt.array(np.asarray(pred, np.float32))
    value = function(var, *args)
    return value.numpy(), jt.grad(value.sum(), var).numpy()


@pytest.mark.parametrize(("temperature", "expected"), [(10, 1.449376), (1, 0.245121)])
def test_kl_closed_form(temperature, expected):
    got = losses.kl_divergence(jt.array(0.5 * BINS), jt.array(TEACHER), temperature)
    np.testing.assert_allclose(got.item(), expected, rtol=1e-5)


def test_kl_gradient_is_difference_of_softened_probabilities():
    temperature = 10
    student, teacher = jt.array(0.5 * BINS[None]), jt.array(TEACHER[None])
    loss = losses.kl_divergence(student, teacher, temperature).sum()
    student_grad, teacher_grad = jt.grad(loss, [student, teacher])
    p, q = (np.exp(z / temperature) / np.exp(z / temperature).sum() for z in (0.5 * BINS, TEACHER))
    np.testing.assert_allclose(student_grad.numpy()[0], temperature * (p - q) / 17, atol=1e-6)
    assert not teacher_grad.numpy().any()


def test_kl_of_equal_rows_is_zero_and_one_class_is_zero():
    rows = jt.array(np.stack([BINS, TEACHER]))
    assert np.abs(losses.kl_divergence(rows, rows, 2).numpy()).max() < 1e-6
    assert not losses.kl_divergence(jt.array([[3.0]]), jt.array([[-8.0]]), 2).numpy().any()


def test_kl_rejects_bad_arguments():
    with pytest.raises(ConfigError, match=r"temperature 0\.5"):
        losses.kl_divergence(jt.zeros((2, 17)), jt.zeros((2, 17)), 0.5)
    with pytest.raises(ValueError, match="17 entries and teacher rows 9"):
        losses.kl_divergence(jt.zeros((2, 17)), jt.zeros((2, 9)), 10)


def test_binary_kl_is_that_of_the_two_way_distributions():
    rng = np.random.default_rng(0)
    temperature = 3.0
    student, teacher = (rng.normal(0, 4, (5, 7)).astype(np.float32) for _ in range(2))
    p, q = (1 / (1 + np.exp(-x.astype(np.float64) / temperature)) for x in (student, teacher))
    expected = (q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))).mean(-1) * temperature**2
    variables = jt.array(student), jt.array(teacher)
    got = losses.binary_kl_divergence(*variables, temperature)
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-5, atol=1e-6)
    student_grad, teacher_grad = jt.grad(got.sum(), variables)
    np.testing.assert_allclose(student_grad.numpy(), temperature * (p - q) / 7, rtol=1e-5, atol=1e-6)
    assert not teacher_grad.numpy().any()


def test_binary_kl_of_one_class_is_not_zero_and_of_equal_rows_is():
    rows = jt.array(np.stack([BINS, TEACHER]))
    assert not losses.binary_kl_divergence(rows, rows, 2).numpy().any()
    # A softmax over one class says nothing; ln 2 - H(1/5) is what a sigmoid at 0 misses of one at -ln 4.
    one = losses.binary_kl_divergence(jt.zeros((1, 1)), jt.array([[-np.log(4.0)]]), 1).item()
    assert one == pytest.approx(np.log(2) + 0.2 * np.log(0.2) + 0.8 * np.log(0.8), abs=1e-6)
    with pytest.raises(ConfigError, match=r"temperature 0\.5"):
        losses.binary_kl_divergence(rows, rows, 0.5)


def test_distribution_focal_closed_form():
    got = losses.distribution_focal(jt.array(0.5 * BINS), jt.array(5.3))
    np.testing.assert_allclose(got.item(), 6.282549, rtol=1e-5)


def test_quality_focal_closed_form():
    logits = jt.array(np.array([[0.2], [-1.0]], np.float32))
    labels, scores = jt.array(np.array([0, 1], np.int32)), jt.array(np.array([0.7, 0.9], np.float32))
    got = losses.quality_focal(logits, labels, scores).numpy()
    np.testing.assert_allclose(
        got, [0.014841, 0.022658], atol=1e-6
    )  # row 1 is background: its score is not read


def test_giou_closed_form():
    pair = (np.array([[0, 0, 4, 4]], np.float32), jt.array(np.array([[1, 2, 6, 5]], np.float32)))
    assert value_and_grad(losses.giou_loss, *pair)[0][0] == pytest.approx(0.926667, abs=1e-6)


def test_binary_cross_entropy_at_zero_and_far_out():
    logits = np.array([0.0, 0.0, 1e4, -1e4, 1e4, 1e-9], np.float32)
    targets = np.array([0.0, 0.3, 1.0, 0.0, 0.0, 1.0], np.float32)
    value, grad = value_and_grad(losses.binary_cross_entropy_with_logits, logits, jt.array(targets))
    np.testing.assert_allclose(value, [np.log(2), np.log(2), 0, 0, 1e4, np.log(2)], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(grad, [0.5, 0.2, 0, 0, 1, -0.5], atol=1e-6)


def test_cross_entropy_ignores_labels_out_of_range():
    logits = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], np.float32)
    labels = jt.array(np.array([2, -1, 0], np.int32))
    value, grad = value_and_grad(losses.cross_entropy, logits, labels)
    np.testing.assert_allclose(value, [np.log(np.exp([-2.0, -1.0, 0.0]).sum()), 0, np.log(3)], rtol=1e-5)
    assert not grad[1].any()


@pytest.mark.parametrize(
    ("function", "rows", "args"),
    [
        (losses.quality_focal, [[1e4, -1e4], [-1e4, 1e4], [0, 0]], ([0, 0, 2], [1.0, 0.0, 0.0])),
        (losses.quality_focal_probs, [[1, 0], [0, 1], [0.5, 1e-30]], ([0, 0, 1], [1.0, 0.5, 0.0])),
        (losses.sigmoid_focal, [[1e4, -1e4], [-1e4, 1e4], [0, 0]], ([0, 0, 2],)),
        (losses.distribution_focal, [[1e4, -1e4, 0], [-1e4, 1e4, 0], [0, 0, 0]], ([0.0, 0.5, 1.99],)),
        (losses.kl_divergence, [[1e4, -1e4], [-1e4, 1e4], [0, 0]], ([[-1e4, 1e4], [-1e4, 1e4], [0, 1e4]],)),
        (
            losses.binary_kl_divergence,
            [[1e4, -1e4], [-1e4, 9], [0, 0]],
            ([[-1e4, 1e4], [-1e4, 9], [0, 1e4]],),
        ),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_finite_at_extreme_logits(function, rows, args):
    args = [jt.array(np.array(a, np.int32 if isinstance(a[0], int) else np.float32)) for a in args]
    if function in (losses.kl_divergence, losses.binary_kl_divergence):
        args.append(1)
    value, grad = value_and_grad(function, rows, *args)
    assert np.isfinite(value).all() and np.isfinite(grad).all()
    assert (value >= 0).all()


BOX_LOSSES = [
    losses.iou_loss, losses.giou_loss, losses.diou_loss, losses.ciou_loss, losses.bounded_iou_loss,
]  # fmt: skip


@pytest.mark.parametrize("function", BOX_LOSSES, ids=lambda f: f.__name__)
def test_boxes_without_area_and_masked_rows_are_finite(function):
    pred = [[0, 0, 0, 0], [3, 3, 3, 3], [0, 0, 5, 5], [-4, -4, 4, 4], [1e4, 1e4, 2e4, 2e4], [5, 5, 2, 2]]
    target = [[0, 0, 0, 0], [0, 0, 5, 5], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1], [0, 0, 4, 4]]
    value, grad = value_and_grad(function, pred, jt.array(np.array(target, np.float32)))
    assert np.isfinite(value).all() and np.isfinite(grad).all()


def test_ciou_of_identical_boxes_is_zero():
    boxes = np.array([[0, 0, 10, 10], [3, 4, 8, 30]], np.float32)
    value, grad = value_and_grad(losses.ciou_loss, boxes, jt.array(boxes))
    assert np.abs(value).max() < 1e-6 and np.isfinite(grad).all()


def test_weight_of_rows_is_broadcast_and_none_keeps_the_shape():
    loss = jt.array(np.arange(6, dtype=np.float32).reshape(2, 3))
    weight = jt.array(np.array([1.0, 0.0], np.float32))
    kept = losses.reduce_loss(loss, weight, "none").numpy()
    np.testing.assert_array_equal(kept, [[0, 1, 2], [0, 0, 0]])
    assert losses.reduce_loss(loss, weight, "mean").item() == pytest.approx(0.5)
    assert losses.reduce_loss(loss, weight, "mean", jt.array([2.0])).item() == pytest.approx(1.5)


def test_bad_reductions_are_named():
    with pytest.raises(ConfigError, match="did you mean 'mean'"):
        losses.GIoULoss(reduction="men")
    with pytest.raises(ConfigError, match="avg_factor"):
        losses.reduce_loss(jt.ones(3), None, "sum", 2.0)
    with pytest.raises(ConfigError, match="beta > 0"):
        losses.SmoothL1Loss(beta=0)
    with pytest.raises(ConfigError, match="use_sigmoid=True"):
        losses.FocalLoss(use_sigmoid=False)


def test_losses_are_registered_under_the_names_configs_use():
    from jld.registry import LOSSES

    assert {"QualityFocalLoss", "DistributionFocalLoss", "GIoULoss", "CIoULoss", "FocalLoss"} <= set(
        LOSSES.names()
    )


def test_sum_of_very_many_values_is_exact_to_single_precision():
    values = jt.full((1000, 1000), 0.1)
    np.testing.assert_allclose(losses.reduce_loss(values, avg_factor=2.0).item(), 5e4, rtol=1e-6)
    np.testing.assert_allclose(losses.reduce_loss(values).item(), 0.1, rtol=1e-6)
