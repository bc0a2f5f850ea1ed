"""Values and gradients of rows against soft targets, beside float64 NumPy."""

import numpy as np
import pytest

from jld.ops.soft_targets import soft_cross_entropy, soft_kl_divergence
from jld.toolchain import jittor as jt


def log_softmax(x):
    x = x.astype(np.float64) - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def with_gradient(loss, inputs, factor):
    return loss.numpy(), [g.numpy() for g in jt.grad((loss * jt.array(factor)).sum(), inputs)]


@pytest.mark.parametrize(("shape", "scale"), [((2, 3, 4, 17), 1), ((5, 80), 30), ((0, 17), 1), ((3, 1), 1)])
@pytest.mark.parametrize("temperature", [1.0, 10.0])
def test_kl_divergence(shape, scale, temperature):
    rng = np.random.default_rng(0)
    student, teacher = (rng.normal(0, scale, shape).astype(np.float32) for _ in range(2))
    factor = rng.normal(size=shape[:-1]).astype(np.float32)
    inputs = [jt.array(student), jt.array(teacher)]
    values, gradients = with_gradient(soft_kl_divergence(*inputs, temperature), inputs, factor)
    log_p, log_w = log_softmax(student / temperature), log_softmax(teacher / temperature)
    p, w = np.exp(log_p), np.exp(log_w)
    expected = (w * (log_w - log_p)).sum(-1)
    np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(gradients[0], factor[..., None] * (p - w) / temperature, atol=1e-6)
    assert not gradients[1].any()


def test_a_single_row_and_rows_that_do_not_match():
    row = jt.array(np.float32([0, 1, 2]))
    assert soft_kl_divergence(row, row, 2.0).shape == [1]
    with pytest.raises(ValueError, match=r"shape \(2, 3\) and their targets \(1, 3\)"):
        soft_cross_entropy(jt.ones((2, 3)), jt.ones((1, 3)))


def test_equal_rows_have_no_divergence():
    logits = jt.array(np.random.default_rng(1).normal(0, 5, (6, 17)).astype(np.float32))
    loss = soft_kl_divergence(logits, logits, 10.0)
    assert np.abs(loss.numpy()).max() < 1e-7 and np.abs(jt.grad(loss.sum(), logits).numpy()).max() < 1e-7


def test_cross_entropy_with_shares_that_do_not_add_up_to_one():
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 3, (4, 5, 9)).astype(np.float32)
    shares = rng.uniform(0, 1, (4, 5, 9)).astype(np.float32)
    shares[0] = 0
    factor = rng.normal(size=(4, 5)).astype(np.float32)
    inputs = [jt.array(logits), jt.array(shares)]
    values, gradients = with_gradient(soft_cross_entropy(*inputs), inputs, factor)
    log_p = log_softmax(logits)
    np.testing.assert_allclose(values, -(shares * log_p).sum(-1), rtol=1e-5, atol=1e-5)
    expected = factor[..., None] * (np.exp(log_p) * shares.sum(-1, keepdims=True) - shares)
    np.testing.assert_allclose(gradients[0], expected, atol=1e-5)
    assert not values[0].any() and not gradients[0][0].any() and not gradients[1].any()
