"""Half precision of convolutions on the CPU: rounding against numpy, forward and backward, and its scope."""

import numpy as np
import pytest

from jld.errors import ConfigError
from jld.ops.conv2d import conv2d
from jld.ops.deform_conv import deform_conv2d
from jld.ops.precision import PRECISIONS, convolution_precision, convolutions_in, rounded
from jld.toolchain import jittor as jt

HALF = PRECISIONS[1:]
# Exact, ties, the first value that overflows, the least numbers, halves of them, and what is no number.
EDGES = [
    0,
    -0.0,
    1 + 2**-8,
    1 + 3 * 2**-8,
    1 + 2**-11,
    1 + 3 * 2**-11,
    65504,
    65519.996,
    65520,
    -65520,
    3.4e38,
]
EDGES += [2**-14, 6.1e-5, 3 * 2**-25, 2**-24, 2**-25, 2.99e-8, 1e-40, np.inf, -np.inf, np.nan]


def as_bfloat16(x):
    bits = x.view(np.uint32).astype(np.uint64)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    return np.where(np.isnan(x), x, nearest.astype(np.uint32).view(np.float32))


def as_float16(x):
    with np.errstate(over="ignore"):
        return x.astype(np.float16).astype(np.float32)


ROUNDINGS = {"bfloat16": as_bfloat16, "float16": as_float16}


@pytest.mark.parametrize("precision", HALF)
def test_values_and_gradients_are_rounded_to_nearest_even(precision):
    rng = np.random.default_rng(0)
    wide = rng.standard_normal(2000) * 10 ** rng.uniform(-10, 6, 2000)
    x = np.concatenate([EDGES, wide]).astype(np.float32)
    var = jt.array(x)
    y = rounded(var, precision)
    np.testing.assert_array_equal(y.numpy(), ROUNDINGS[precision](x))
    # The gradient of y is x itself, so it comes back rounded as well.
    gradient = jt.grad((y * jt.array(np.nan_to_num(x, posinf=1, neginf=1))).sum(), var)
    np.testing.assert_array_equal(
        gradient.numpy(), ROUNDINGS[precision](np.nan_to_num(x, posinf=1, neginf=1))
    )


def two_layers(x, weights, dy):
    """A convolution after a ReLU after a convolution, and all gradients: results as arrays."""
    vars = [jt.array(v) for v in (x, *weights)]
    hidden = jt.maximum(conv2d(vars[0], vars[1], padding=(1, 1)), 0)
    y = conv2d(hidden, vars[2])
    return [v.numpy() for v in (hidden, y, *jt.grad((y * jt.array(dy)).sum(), vars))]


def pointwise(x, weight):
    return np.einsum("oi,nihw->nohw", weight[:, :, 0, 0], x)


@pytest.mark.parametrize("precision", HALF)
def test_operands_and_results_of_a_network_are_rounded(precision):
    """Neither a fusion nor the simplifier takes a rounding away: every one is looked for in the numbers."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((2, 3, 6, 5)).astype(np.float32)
    weights = [rng.standard_normal(shape).astype(np.float32) for shape in ((4, 3, 3, 3), (5, 4, 1, 1))]
    dy = rng.standard_normal((2, 5, 6, 5)).astype(np.float32)
    half = ROUNDINGS[precision]
    with convolutions_in(precision):
        hidden, y, dx, dweight_0, dweight_1 = two_layers(x, weights, dy)
    for result in (hidden, y, dx, dweight_0, dweight_1):
        np.testing.assert_array_equal(result, half(result))
    # One unit in the last place: sums of float32 in another order may round to the neighbour.
    unit = 2.0 ** (-7 if precision == "bfloat16" else -10)
    np.testing.assert_allclose(y, pointwise(half(hidden), half(weights[1])), rtol=unit, atol=unit)
    turned = half(weights[1]).transpose(1, 0, 2, 3)
    dhidden = half(pointwise(half(dy), turned)) * (hidden > 0)
    np.testing.assert_allclose(
        dweight_1[:, :, 0, 0], np.einsum("nohw,nihw->oi", half(dy), half(hidden)), rtol=unit, atol=unit
    )
    # The first layer in float32, from the rounded operands that the second one should have left.
    plain = [jt.array(v) for v in (half(x), half(weights[0]))]
    expected = jt.grad((conv2d(*plain, padding=(1, 1)) * jt.array(dhidden)).sum(), plain)
    for found, exact in zip((dx, dweight_0), expected, strict=True):
        np.testing.assert_allclose(found, exact.numpy(), rtol=2 * unit, atol=4 * unit)
    # And it is not float32 by another name.
    assert np.abs(y - two_layers(x, weights, dy)[1]).max() > unit / 8


def test_gradients_below_the_range_of_float16_vanish_and_above_it_overflow():
    x, weight = jt.ones((1, 2, 3, 3)), jt.ones((2, 2, 1, 1))
    cases = [("float16", 1e-8, 0.0), ("bfloat16", 1e-8, 1.8e-7)]
    cases += [("float16", 1e5, np.inf), ("bfloat16", 1e5, 1.8e6)]
    for precision, size, expected in cases:
        with convolutions_in(precision):
            y = conv2d(x, weight)
        np.testing.assert_allclose(jt.grad((y * size).sum() * 2, weight).numpy(), expected, rtol=2**-6)


def test_the_product_of_a_deformable_convolution_is_rounded():
    rng = np.random.default_rng(2)
    x, offset, weight = (
        jt.array(rng.standard_normal(shape).astype(np.float32))
        for shape in ((1, 2, 4, 4), (1, 18, 4, 4), (3, 2, 3, 3))
    )
    with convolutions_in("bfloat16"):
        y = deform_conv2d(x, offset, weight, padding=(1, 1)).numpy()
    np.testing.assert_array_equal(y, as_bfloat16(y))


def test_the_setting_ends_with_its_block_and_can_be_nested():
    assert convolution_precision() == "float32"
    with convolutions_in("float16"):
        with convolutions_in("float32"):
            assert convolution_precision() == "float32"
        assert convolution_precision() == "float16"
    with pytest.raises(RuntimeError), convolutions_in("bfloat16"):
        raise RuntimeError
    assert convolution_precision() == "float32"
    with pytest.raises(ConfigError, match="did you mean 'bfloat16'"), convolutions_in("bf16"):
        pass


def test_frozen_stages_and_teachers_get_the_same_values_and_no_graph():
    x, weight = jt.randn((1, 2, 4, 4)), jt.randn((3, 2, 1, 1))
    with convolutions_in("float16"):
        expected = conv2d(x, weight).numpy()
        with jt.no_grad():
            y = conv2d(x, weight)
    assert y.is_stop_grad()
    np.testing.assert_array_equal(y.numpy(), expected)
