"""Convolutions against float64 NumPy, and which of them is chosen."""

import numpy as np
import pytest

from jld.ops import conv2d as choice
from jld.ops.conv2d import Conv2d, conv2d
from jld.ops.onednn_conv import onednn_conv
from jld.ops.pointwise_conv import pointwise_conv
from jld.ops.winograd_conv import winograd_conv, winograd_convs
from jld.toolchain import jittor as jt

needs_onednn = pytest.mark.skipif(jt.mkl_ops is None, reason="oneDNN is not installed")


def correlate(x, weight):
    """Stride 1, padded to the same size: [N, I, H, W], [O, I, k, k] to [N, O, H, W] in float64."""
    kernel, (height, width) = weight.shape[2], x.shape[2:]
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *[(kernel // 2,) * 2] * 2))
    y = np.zeros((x.shape[0], weight.shape[0], height, width))
    for i in range(kernel):
        for j in range(kernel):
            shifted = padded[:, :, i : i + height, j : j + width]
            y += np.einsum("oc,nchw->nohw", weight[:, :, i, j].astype(np.float64), shifted, optimize=True)
    return y


def gradients(x, weight, dy):
    """Of sum(y dy), to the map and to the weights: both are correlations themselves."""
    turned = weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    kernel, (height, width) = weight.shape[2], x.shape[2:]
    padded = np.pad(x.astype(np.float64), ((0, 0), (0, 0), *[(kernel // 2,) * 2] * 2))
    dweight = np.empty(weight.shape)
    for i in range(kernel):
        for j in range(kernel):
            shifted = padded[:, :, i : i + height, j : j + width]
            dweight[:, :, i, j] = np.einsum("nohw,nchw->oc", dy.astype(np.float64), shifted, optimize=True)
    return correlate(dy, turned), dweight


def arrays(images, inputs, outputs, height, width, kernel):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((images, inputs, height, width))
    weight = rng.standard_normal((outputs, inputs, kernel, kernel)) / np.sqrt(inputs * kernel**2)
    dy = rng.standard_normal((images, outputs, height, width))
    return [v.astype(np.float32) for v in (x, weight, dy)]


def assert_near(var, expected, error):
    """No value is further off than this share of the typical value."""
    assert np.abs(var.numpy() - expected).max() < error * np.sqrt((expected**2).mean())


@needs_onednn
@pytest.mark.parametrize(
    "operator, kernel, shape, error",
    [
        (winograd_conv, 3, (1, 3, 5, 4, 4), 3e-5),
        (winograd_conv, 3, (2, 16, 8, 7, 9), 3e-5),
        (winograd_conv, 3, (1, 40, 33, 1, 18), 3e-5),
        # More rows of tiles than are worked on at a time; the last chunk is shorter.
        (winograd_conv, 3, (1, 8, 9, 182, 1021), 6e-5),
        (pointwise_conv, 1, (1, 3, 5, 4, 4), 5e-6),
        (pointwise_conv, 1, (2, 32, 20, 7, 9), 5e-6),
    ],
)
def test_values_and_gradients(operator, kernel, shape, error):
    x, weight, dy = arrays(*shape, kernel)
    vars = [jt.array(v) for v in (x, weight)]
    y = operator(*vars)
    assert_near(y, correlate(x, weight), error)
    for gradient, expected in zip(
        jt.grad((y * jt.array(dy)).sum(), vars), gradients(x, weight, dy), strict=True
    ):
        assert_near(gradient, expected, error)


@needs_onednn
@pytest.mark.parametrize(
    "channels, sizes, error",
    [
        ((16, 8), [(21, 26), (7, 9), (1, 2)], 3e-5),
        # More rows of tiles than are worked on at a time; a chunk ends in the middle of a map.
        ((8, 9), [(101, 1021), (90, 1022)], 6e-5),
    ],
)
def test_maps_of_a_pyramid_are_convolved_together(channels, sizes, error):
    weight = arrays(1, *channels, 1, 1, 3)[1]
    xs, dys = zip(*(arrays(2, *channels, *size, 3)[::2] for size in sizes), strict=True)
    filters, maps = jt.array(weight), [jt.array(x) for x in xs]
    ys = winograd_convs(maps, filters)
    for y, x in zip(ys, xs, strict=True):
        assert_near(y, correlate(x, weight), error)
    # The results of the last map are not read: it has no gradient, and none of the weights comes from it.
    read = [(y * jt.array(dy)).sum() for y, dy in zip(ys[:-1], dys, strict=False)]
    *found, last, dweight = jt.grad(sum(read), [*maps, filters])
    expected = [gradients(x, weight, dy) for x, dy in zip(xs[:-1], dys, strict=False)]
    for gradient, (wanted, _) in zip(found, expected, strict=True):
        assert_near(gradient, wanted, error)
    assert_near(dweight, sum(of_map for _, of_map in expected), error)
    assert not last.numpy().any()


@needs_onednn
@pytest.mark.parametrize("live", [[0, 1, 0, 1, 1], [0] * 5, [1] * 5], ids=["some", "none", "all"])
@pytest.mark.parametrize("kernel", [3, 1])
def test_images_that_do_not_count_are_left_out(live, kernel):
    """A layer with ReLU: what counts is as if the others were not in the batch."""
    x, weight, dy = arrays(5, 40, 33, 14, 14, kernel)
    rows, bias = np.flatnonzero(live), np.linspace(-1, 1, 33, dtype=np.float32)
    dy[np.equal(live, 0)] = 0
    layer = Conv2d(40, 33, kernel, padding=kernel // 2)
    layer.weight, layer.bias = jt.array(weight), jt.array(bias)
    given = jt.array(x)
    y = layer(given, jt.array(np.float32(live)), relu=True)
    expected = np.zeros(y.shape)
    expected[rows] = np.maximum(correlate(x[rows], weight) + bias[:, None, None], 0)
    np.testing.assert_allclose(y.numpy(), expected, atol=1e-4)
    found = [g.numpy() for g in jt.grad((y * jt.array(dy)).sum(), [given, layer.weight, layer.bias])]
    passed = dy * (expected > 0)
    for gradient, wanted in zip(found, (*gradients(x, weight, passed), passed.sum((0, 2, 3))), strict=True):
        np.testing.assert_allclose(gradient, wanted, atol=1e-4 * max(1.0, np.abs(wanted).max()))


@needs_onednn
def test_winograd_loses_little_of_a_wide_sum():
    """A layer of a head: errors of a few millionths of the results' spread."""
    x, weight, _ = arrays(1, 256, 64, 24, 24, 3)
    expected = correlate(x, weight)
    difference = winograd_conv(jt.array(x), jt.array(weight)).numpy() - expected
    assert np.sqrt((difference**2).mean()) < 3e-6 * expected.std()


@pytest.mark.parametrize(
    "operator, kernel",
    [(winograd_conv, 3), (pointwise_conv, 1), (lambda x, w: onednn_conv(x, w, (1, 1, 1, 1, 1, 1, 1)), 3)],
)
def test_shapes_that_do_not_fit_are_refused(operator, kernel):
    x = jt.ones((1, 4, 8, 8))
    with pytest.raises(ValueError, match="do not fit"):
        operator(x, jt.ones((2, 3, kernel, kernel)))
    with pytest.raises(ValueError, match="do not fit"):
        operator(x, jt.ones((2, 4, kernel)))


@pytest.fixture
def chosen(monkeypatch):
    """Names of the operators that `conv2d` calls."""
    calls = []
    for name in ("winograd_conv", "winograd_convs", "pointwise_conv"):
        operator = getattr(choice, name)
        monkeypatch.setattr(
            choice, name, lambda *args, name=name, operator=operator: calls.append(name) or operator(*args)
        )
    return calls


@needs_onednn
@pytest.mark.parametrize(
    "channels, size, kernel, options, expected",
    [
        (32, 28, 3, {"padding": (1, 1)}, "winograd_conv"),
        (32, 12, 3, {"padding": (1, 1)}, None),
        (31, 28, 3, {"padding": (1, 1)}, None),
        (32, 28, 3, {}, None),
        (32, 28, 3, {"padding": (1, 1), "stride": (2, 2)}, None),
        (32, 28, 3, {"padding": (1, 1), "dilation": (2, 2)}, None),
        (32, 28, 3, {"padding": (1, 1), "groups": 2}, None),
        (32, 9, 1, {}, "pointwise_conv"),
        (32, 9, 1, {"stride": (2, 2)}, None),
        (32, 9, 1, {"padding": (1, 1)}, None),
    ],
)
def test_the_operator_follows_from_the_form(chosen, channels, size, kernel, options, expected):
    x, weight, _ = arrays(1, channels, 34, size, size, kernel)
    if "groups" in options:
        weight = weight[:, : channels // options["groups"]]
    y = conv2d(jt.array(x), jt.array(weight), **options)
    assert chosen == ([expected] if expected else [])
    assert_near(y, jt.nn.conv2d(jt.array(x), jt.array(weight), **options).numpy(), 3e-5)


@needs_onednn
@pytest.mark.parametrize(
    "options",
    [
        {"stride": (2, 1), "padding": (1, 2)},
        {"stride": (1, 2), "padding": (2, 2), "dilation": (2, 2)},
        {"padding": (1, 1), "groups": 2},
    ],
)
def test_gradients_of_every_geometry_equal_those_of_the_library(options):
    x, weight, _ = arrays(2, 4, 6, 9, 11, 3)
    weight = weight[:, : 4 // options.get("groups", 1)]
    results = []
    for function in (conv2d, jt.nn.conv2d):
        vars = [jt.array(v) for v in (x, weight)]
        y = function(*vars, **options)
        results.append([y, *jt.grad((y * y).sum(), vars)])
    for ours, library in zip(*results, strict=True):
        assert_near(ours, library.numpy(), 1e-5)


@needs_onednn
def test_small_maps_of_a_pyramid_come_along_with_large_ones(chosen):
    layer = Conv2d(32, 32, 3, padding=1)
    layer.bias = jt.array(np.arange(32, dtype=np.float32))
    rng = np.random.default_rng(0)
    large, small = (
        jt.array(rng.standard_normal((1, 32, size, size)).astype(np.float32)) for size in (24, 16)
    )
    together = layer.levels([large, small])
    assert chosen == ["winograd_convs"]
    for y, x in zip(together, (large, small), strict=True):
        np.testing.assert_allclose(y.numpy(), layer(x).numpy(), atol=1e-4)
    chosen.clear()
    layer.levels([small, small])  # too little together as well
    assert chosen == []
    layer.one_by_one([large, jt.randn(1, 32, 28, 28)])
    assert chosen == ["winograd_conv"]


@needs_onednn
def test_winograd_can_be_switched_off(chosen, monkeypatch):
    monkeypatch.setenv(choice.SWITCH, "0")
    x, weight, _ = arrays(1, 32, 32, 28, 28, 3)
    conv2d(jt.array(x), jt.array(weight), padding=(1, 1))
    assert not chosen


def test_layer_adds_its_bias_and_names_wrong_channels():
    layer = Conv2d(4, 2, 1)
    x = np.random.default_rng(0).standard_normal((1, 4, 3, 3)).astype(np.float32)
    expected = correlate(x, layer.weight.numpy()) + layer.bias.numpy()[:, None, None]
    assert_near(layer(jt.array(x)), expected, 5e-6)
    with pytest.raises(ValueError, match="4 channels got a map of 3"):
        layer(jt.ones((1, 3, 2, 2)))
