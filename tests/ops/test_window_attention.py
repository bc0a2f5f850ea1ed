"""Layer normalisation and attention in windows against NumPy, gradients against finite differences."""

import numpy as np
import pytest

from jld.ops.layer_norm import layer_norm
from jld.ops.window_attention import APART, window_attention
from jld.toolchain import jittor as jt

HEADS = 2
REGIONS = np.int32([[0, 0, 1, 1, 0], [0, 0, 0, 0, 0], [2, 1, 2, 1, 0]])


def attention(qkv, bias):
    """The equation, head by head."""
    windows, width = qkv.shape[0], qkv.shape[2] // 3
    size, out = width // HEADS, np.zeros((*qkv.shape[:2], qkv.shape[2] // 3))
    for window in range(windows):
        region = REGIONS[window % len(REGIONS)]
        for head in range(HEADS):
            parts = [
                qkv[window, :, k * width + head * size : k * width + (head + 1) * size] for k in range(3)
            ]
            score = parts[0] @ parts[1].T / np.sqrt(size) + bias[head]
            score += np.where(region[:, None] == region, 0, APART)
            probs = np.exp(score - score.max(1, keepdims=True))
            out[window, :, head * size : (head + 1) * size] = probs / probs.sum(1, keepdims=True) @ parts[2]
    return out


def normalisation(x, weight, bias):
    """The equation of layer normalisation."""
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def given(*shapes):
    rng = np.random.default_rng(2)
    return [rng.standard_normal(shape) for shape in shapes]


FUNCTIONS = {
    "window_attention": (
        lambda qkv, bias: window_attention(qkv, bias, jt.array(REGIONS), HEADS),
        attention,
        given((6, 5, 3 * 12), (HEADS, 5, 5)),
    ),
    # More rows than one thread adds up, not a multiple of them.
    "layer_norm": (layer_norm, normalisation, given((2, 70, 9), (9,), (9,))),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_values_and_gradients(name):
    function, reference, arrays = FUNCTIONS[name]
    inputs = [jt.array(array.astype(np.float32)) for array in arrays]
    y = function(*inputs)
    np.testing.assert_allclose(y.numpy(), reference(*arrays), rtol=1e-4, atol=1e-5)
    (factor,) = given(tuple(y.shape))
    gradients = jt.grad((y * jt.array(factor.astype(np.float32))).sum(), inputs)
    rng = np.random.default_rng(5)
    for which, gradient in enumerate(gradients):
        found = gradient.numpy().ravel()
        for entry in rng.choice(found.size, min(9, found.size), replace=False):
            ends = []
            for step in (1e-5, -1e-5):
                moved = [array.copy() for array in arrays]
                moved[which].ravel()[entry] += step
                ends.append((reference(*moved) * factor).sum())
            assert found[entry] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=1e-3), which


def test_misfits_are_refused():
    with pytest.raises(ValueError, match="do not fit 5 heads"):
        window_attention(jt.zeros((6, 5, 36)), jt.zeros((5, 5, 5)), jt.array(REGIONS), 5)
    with pytest.raises(ValueError, match="layer_norm"):
        layer_norm(jt.zeros((2, 3)), jt.zeros((2,)), jt.zeros((3,)))
