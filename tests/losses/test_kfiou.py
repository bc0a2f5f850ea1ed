"""KFIoU loss: known numbers, weights, extreme boxes, what it needs to be called with."""

import numpy as np
import pytest

from jld import losses
from jld.errors import ConfigError
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.losses import gaussian_reference as reference


def test_known_numbers():
    pred, target = (jt.array(boxes.astype(np.float32)) for boxes in (reference.PRED, reference.TARGET))
    got = losses.kfiou_loss(pred, target).numpy()
    np.testing.assert_allclose(got, [2 / 3, 0.703372, 2 / 3, 0.730772], rtol=1e-5)


def test_extreme_boxes_have_finite_values_and_gradients():
    pred, target = reference.extreme_pairs()
    var = jt.array(pred.astype(np.float32))
    value = losses.kfiou_loss(var, jt.array(target.astype(np.float32)), "ln")
    gradient = jt.grad(value.sum(), var).numpy()
    assert np.isfinite(value.numpy()).all() and np.isfinite(gradient).all()


def test_rows_without_weight_do_not_count_whatever_they_hold():
    boxes, target = reference.PRED.astype(np.float32), reference.TARGET.astype(np.float32)
    deltas = np.full((4, 5), 0.5, np.float32)
    boxes[0], deltas[2] = np.nan, np.inf
    boxes, deltas = jt.array(boxes), jt.array(deltas)
    loss = build({"type": "KFLoss", "fun": "none", "loss_weight": 5.0})
    weight = jt.array(np.repeat([[0], [1], [0], [2]], 5, axis=1).astype(np.float32))
    decoded = {"pred_decode": boxes, "targets_decode": jt.array(target)}
    got = loss(deltas, jt.zeros((4, 5)), weight, avg_factor=2.0, **decoded)
    centers = 2 * (0.5 - 1 / 18)  # straight part of the smooth L1 of two coordinates
    assert got.item() == pytest.approx(5.0 * (centers + 0.703372 + 2 * (centers + 0.730772)) / 2, rel=1e-5)
    delta_grad, box_grad = (grad.numpy() for grad in jt.grad(got, [deltas, boxes]))
    expected = np.zeros((4, 5), np.float32)
    expected[1, :2], expected[3, :2] = 2.5, 5.0
    np.testing.assert_allclose(delta_grad, expected)
    assert np.isfinite(box_grad).all() and not box_grad[[0, 2]].any() and box_grad[[1, 3]].any()


def test_heads_know_what_to_hand_over():
    assert losses.KFLoss.uses_deltas_and_boxes
    assert isinstance(build({"type": "KFIoULoss"}), losses.KFLoss)
    with pytest.raises(TypeError, match="pred_decode"):
        losses.KFLoss()(jt.zeros((1, 5)), jt.zeros((1, 5)))
    with pytest.raises(ConfigError, match="ln"):
        losses.KFLoss(fun="log")
