"""Deformable convolution against a float64 loop, its gradients against finite differences."""

import itertools

import numpy as np
import pytest

from jld.ops.deform_conv import DeformConv, deform_conv2d
from jld.toolchain import jittor as jt
from tests.golden_cases import case
from tests.models.golden_models import assert_sampled, generated

# One set of sizes with everything unequal; other values of stride and the like do not compile again.
SETTINGS = {"stride": (2, 1), "padding": (1, 2), "dilation": (1, 2), "groups": 2, "deform_groups": 2}


def reference(x, offset, weight, stride, padding, dilation, groups, deform_groups, mask=None):
    """Equation 2 of the first paper and, with a mask, equation 1 of the second, tap by tap."""
    n, channels, height, width = x.shape
    out_channels, _, kernel_h, kernel_w = weight.shape
    out = np.zeros((n, out_channels, *offset.shape[2:]))

    def sample(plane, y, x_):
        top, left = int(np.floor(y)), int(np.floor(x_))
        value = 0.0
        for row, column in itertools.product((top, top + 1), (left, left + 1)):
            if 0 <= row < height and 0 <= column < width:
                value += plane[row, column] * (1 - abs(y - row)) * (1 - abs(x_ - column))
        return value

    for image, d, i, j in itertools.product(range(n), range(out_channels), *map(range, offset.shape[2:])):
        first = d // (out_channels // groups) * (channels // groups)
        for c, k, m in itertools.product(range(channels // groups), range(kernel_h), range(kernel_w)):
            channel = first + c
            tap = (channel // (channels // deform_groups)) * kernel_h * kernel_w + k * kernel_w + m
            base, factor = 2 * tap, 1 if mask is None else mask[image, tap, i, j]
            y = i * stride[0] - padding[0] + k * dilation[0] + offset[image, base, i, j]
            x_ = j * stride[1] - padding[1] + m * dilation[1] + offset[image, base + 1, i, j]
            out[image, d, i, j] += weight[d, c, k, m] * factor * sample(x[image, channel], y, x_)
    return out


@pytest.fixture(scope="module")
def arrays():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((2, 4, 5, 6))
    weight = rng.standard_normal((6, 2, 3, 2))
    # Some taps fall outside the map on every side.
    offset = rng.uniform(-2.5, 2.5, (2, 2 * 2 * 6, 3, 8))
    return {"x": x, "offset": offset, "weight": weight}


@pytest.fixture(scope="module", params=["version 1", "modulated"])
def inputs(request, arrays):
    if request.param == "version 1":
        return arrays
    return arrays | {"mask": np.random.default_rng(6).uniform(0, 1, (2, 2 * 6, 3, 8))}


def as_vars(arrays):
    return {name: jt.array(value.astype(np.float32)) for name, value in arrays.items()}


def test_values_equal_the_loop(inputs):
    expected = reference(**inputs, **SETTINGS)
    actual = deform_conv2d(**as_vars(inputs), **SETTINGS).numpy()
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-4)


def test_gradients_equal_finite_differences(inputs):
    arrays, values = inputs, as_vars(inputs)
    factor = np.random.default_rng(4).standard_normal((2, 6, 3, 8))
    loss = (deform_conv2d(**values, **SETTINGS) * jt.array(factor.astype(np.float32))).sum()
    names = list(arrays)
    gradients = dict(zip(names, jt.grad(loss, [values[name] for name in names]), strict=True))
    rng = np.random.default_rng(5)
    for name in names:
        gradient = gradients[name].numpy().ravel()
        for entry in rng.choice(gradient.size, 12, replace=False):
            ends = []
            for step in (1e-5, -1e-5):
                moved = arrays[name].copy()
                moved.ravel()[entry] += step
                ends.append((reference(**{**arrays, name: moved}, **SETTINGS) * factor).sum())
            assert gradient[entry] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-3, abs=1e-3), (
                name,
                entry,
            )


def test_starts_as_the_ordinary_convolution():
    layer = DeformConv(4, 6, 3, stride=2, padding=1, bias=True)
    x = jt.randn(2, 4, 7, 9)
    assert set(layer.state_dict()) == {"weight", "bias", "conv_offset.weight", "conv_offset.bias"}
    assert layer.conv_offset.weight.shape == [18, 4, 3, 3]
    plain = jt.nn.conv2d(x, layer.weight, layer.bias, stride=2, padding=1)
    np.testing.assert_allclose(layer(x).numpy(), plain.numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.golden
@pytest.mark.parametrize("form", ["g1_s1", "g1_s2", "g32_s1", "g32_s2", "g1_s1_dil2", "g1_s1_dg2"])
def test_modulated_in_double_precision(form):
    meta, arrays = case("l_dcnv2")
    spec = dict(meta["specs"][form])
    options = {name: (spec.pop(name),) * 2 for name in ("stride", "padding", "dilation")}
    options |= {"groups": spec.pop("groups"), "deform_groups": spec.pop("deformable_groups")}
    assert not spec, spec
    names = ("x", "offset", "weight", "mask")
    values = {name: generated(meta, f"{form}/{name}").float64() for name in names}
    y = deform_conv2d(**values, **options)
    assert_sampled(meta, arrays, f"out/{form}", y.numpy(), 1e-9)
    loss = (y * generated(meta, f"{form}/r").float64()).sum()
    for name, gradient in zip(names, jt.grad(loss, list(values.values())), strict=True):
        assert_sampled(meta, arrays, f"grad/{form}/{name}", gradient.numpy(), 1e-9)


def test_a_modulated_layer_starts_as_half_the_convolution():
    layer = DeformConv(4, 6, 3, padding=1, modulated=True, deform_groups=2)
    x = jt.randn(2, 4, 7, 9)
    assert layer.conv_offset.weight.shape == [54, 4, 3, 3]
    plain = jt.nn.conv2d(x, layer.weight, padding=1)
    np.testing.assert_allclose(layer(x).numpy(), plain.numpy() / 2, rtol=1e-5, atol=1e-5)


def test_wrong_offsets_are_refused(arrays):
    values = as_vars(arrays)
    with pytest.raises(ValueError, match=r"offsets of shape \(2, 24, 3, 8\)"):
        deform_conv2d(values["x"], values["offset"][:, :12], values["weight"], **SETTINGS)
    with pytest.raises(ValueError, match=r"mask of shape \(2, 12, 3, 8\)"):
        deform_conv2d(**values, mask=values["offset"], **SETTINGS)
