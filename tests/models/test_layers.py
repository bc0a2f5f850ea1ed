"""Normalisations against NumPy; initial values."""

import numpy as np
import pytest

from jld.models.layers import BatchNorm, GroupNorm, prior_probability_bias
from jld.ops.channel_affine import channel_affine
from jld.ops.group_norm import group_norm as group_norm_operator
from jld.toolchain import jittor as jt


def group_norm(x, groups, weight, bias, relu):
    y = x.reshape(x.shape[0], groups, -1).astype(np.float64)
    y = (y - y.mean(2, keepdims=True)) / np.sqrt(y.var(2, keepdims=True) + 1e-5)
    y = y.reshape(x.shape) * weight[:, None, None] + bias[:, None, None]
    return y.clip(0) if relu else y


@pytest.mark.parametrize("relu", [False, True])
def test_group_norm_values_and_gradients(relu):
    rng = np.random.default_rng(0)
    x, factor = rng.standard_normal((2, 2, 6, 3, 5)).astype(np.float32) + 0.5
    layer = GroupNorm(3, 6)
    weight, bias = rng.standard_normal((2, 6)).astype(np.float32)
    layer.weight, layer.bias = jt.array(weight), jt.array(bias)
    var = jt.array(x)
    y = layer(var, relu=relu)
    np.testing.assert_allclose(y.numpy(), group_norm(x, 3, weight, bias, relu), rtol=1e-4, atol=1e-5)
    gradients = [g.numpy() for g in jt.grad((y * jt.array(factor)).sum(), [var, layer.weight, layer.bias])]
    for array, gradient, place in (
        (x, gradients[0], "x"),
        (weight, gradients[1], "weight"),
        (bias, gradients[2], "bias"),
    ):
        for entry in rng.choice(array.size, 6, replace=False):
            ends = []
            for step in (1e-4, -1e-4):
                moved = {"x": x, "weight": weight, "bias": bias}
                moved = {key: value.astype(np.float64) for key, value in moved.items()}
                moved[place].ravel()[entry] += step
                ends.append((group_norm(moved["x"], 3, moved["weight"], moved["bias"], relu) * factor).sum())
            assert gradient.ravel()[entry] == pytest.approx((ends[0] - ends[1]) / 2e-4, rel=1e-3, abs=1e-3)


def test_batch_statistics_of_a_large_map():
    """As many values as the first maps of a detector have; a plain float32 sum loses 1e-4 of them."""
    x = (np.random.default_rng(0).random((2, 2, 512, 512)) ** 4).astype(np.float32)
    layer = BatchNorm(2, fixed_statistics=False, momentum=1.0)
    layer.train()
    layer(jt.array(x)).sync()
    wide = x.astype(np.float64)
    np.testing.assert_allclose(layer.running_mean.numpy(), wide.mean((0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(layer.running_var.numpy(), wide.var((0, 2, 3)), rtol=5e-6)


def test_shapes_that_do_not_fit_are_refused():
    x, four = jt.ones((2, 4, 3, 3)), jt.ones(4)
    with pytest.raises(ValueError, match="do not fit"):
        channel_affine(x, four, four, jt.ones((2, 4, 3, 2)))
    with pytest.raises(ValueError, match="do not fit"):
        channel_affine(x, jt.ones(5), four)
    with pytest.raises(ValueError, match="3 groups"):
        group_norm_operator(x, four, four, 3)


def test_group_norm_of_values_far_from_zero():
    """The variance is not the difference of two large numbers."""
    x = np.random.default_rng(0).standard_normal((1, 4, 8, 8)).astype(np.float32) + 1000
    ones, zeros = np.ones(4, np.float32), np.zeros(4, np.float32)
    np.testing.assert_allclose(
        GroupNorm(2, 4)(jt.array(x)).numpy(), group_norm(x, 2, ones, zeros, False), atol=2e-4
    )


def test_group_norm_needs_divisible_channels():
    with pytest.raises(ValueError, match="6 channels"):
        GroupNorm(4, 6)


@pytest.fixture
def batch():
    return np.random.default_rng(1).standard_normal((3, 4, 5, 2)).astype(np.float32) * 2 + 1


def test_fixed_statistics_never_change_but_weights_learn(batch):
    layer = BatchNorm(4)
    layer.train()
    layer.running_mean.assign(jt.array(np.float32([0.5, -1, 0, 2])))
    layer.running_var.assign(jt.array(np.float32([1, 4, 0.25, 2])))
    y = layer(jt.array(batch))
    mean, std = (
        np.float32(v).reshape(4, 1, 1) for v in ([0.5, -1, 0, 2], np.sqrt(np.float32([1, 4, 0.25, 2]) + 1e-5))
    )
    np.testing.assert_allclose(y.numpy(), (batch - mean) / std, rtol=1e-5, atol=1e-5)
    weight_grad, bias_grad = jt.grad(y.sum(), [layer.weight, layer.bias])
    np.testing.assert_allclose(weight_grad.numpy(), ((batch - mean) / std).sum((0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(bias_grad.numpy(), [30, 30, 30, 30])
    np.testing.assert_array_equal(layer.running_mean.numpy(), [0.5, -1, 0, 2])


def test_batch_statistics_are_used_and_remembered_while_training(batch):
    layer = BatchNorm(4, fixed_statistics=False)
    layer.train()
    y = layer(jt.array(batch)).numpy()
    np.testing.assert_allclose(y.mean((0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(y.std((0, 2, 3)), 1, atol=1e-4)
    np.testing.assert_allclose(layer.running_mean.numpy(), 0.1 * batch.mean((0, 2, 3)), rtol=1e-4)
    np.testing.assert_allclose(layer.running_var.numpy(), 0.9 + 0.1 * batch.var((0, 2, 3)), rtol=1e-4)
    layer.eval()
    remembered = layer.running_mean.numpy().copy()
    mean, std = remembered.reshape(4, 1, 1), np.sqrt(layer.running_var.numpy() + 1e-5).reshape(4, 1, 1)
    np.testing.assert_allclose(layer(jt.array(batch)).numpy(), (batch - mean) / std, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(layer.running_mean.numpy(), remembered)


@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("with_shortcut", [False, True])
def test_batch_norm_with_shortcut_and_relu(batch, with_shortcut, relu):
    rng = np.random.default_rng(5)
    x, other, factor = (rng.standard_normal(batch.shape).astype(np.float32) for _ in range(3))
    layer = BatchNorm(4)
    weight, bias, mean = rng.standard_normal((3, 4)).astype(np.float32)
    var = rng.uniform(0.5, 2, 4).astype(np.float32)
    for name, values in (("weight", weight), ("bias", bias), ("running_mean", mean), ("running_var", var)):
        getattr(layer, name).assign(jt.array(values))
    inputs = jt.array(x), jt.array(other)
    y = layer(inputs[0], shortcut=inputs[1] if with_shortcut else None, relu=relu)
    weight, bias, mean, var = (v.astype(np.float64).reshape(4, 1, 1) for v in (weight, bias, mean, var))
    normal = (x - mean) / np.sqrt(var + 1e-5)
    expected = normal * weight + bias + with_shortcut * other
    g = factor * (expected > 0) if relu else factor
    np.testing.assert_allclose(y.numpy(), expected.clip(0) if relu else expected, atol=1e-5)
    wanted = [
        g * weight / np.sqrt(var + 1e-5),
        (g * normal).sum((0, 2, 3)),
        g.sum((0, 2, 3)),
        with_shortcut * g,
    ]
    found = jt.grad((y * jt.array(factor)).sum(), [inputs[0], layer.weight, layer.bias, inputs[1]])
    for got, gradient in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got.numpy(), gradient, atol=1e-4)


def test_prior_probability_bias():
    assert 1 / (1 + np.exp(-prior_probability_bias(0.01))) == pytest.approx(0.01)
