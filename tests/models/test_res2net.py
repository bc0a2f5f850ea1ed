"""Res2Net: names and sizes of the published weights, values against a plain NumPy forward pass, options."""

import numpy as np
import pytest

from jld.errors import ConfigError
from jld.models import Res2Net
from jld.toolchain import jittor as jt

# Of the classifier that timm publishes as res2net101d, in millions, and of its last layer.
CLASSIFIER_101, LAST_LAYER = 45.2, 2048 * 1000 + 1000
PARTS, WIDTHS = 4, (6, 13, 26, 52)  # with base_channels=16


def test_names_and_sizes():
    state = Res2Net(101, dcn={"deform_groups": 1}, stage_with_dcn=(False, False, True, True)).state_dict()
    shapes = {
        "stem.0.weight": [32, 3, 3, 3],
        "stem.3.weight": [32, 32, 3, 3],
        "stem.7.running_mean": [64],
        "layer1.0.conv1.weight": [104, 64, 1, 1],
        "layer1.0.convs.2.weight": [26, 26, 3, 3],
        "layer1.0.bns.2.weight": [26],
        "layer1.0.conv3.weight": [256, 104, 1, 1],
        "layer1.0.downsample.1.weight": [256, 64, 1, 1],
        "layer1.0.downsample.2.bias": [256],
        "layer2.3.bns.0.running_var": [52],
        "layer3.22.convs.1.conv_offset.weight": [18, 104, 3, 3],
        "layer4.0.convs.0.conv_offset.bias": [18],
        "layer4.2.bn3.weight": [2048],
    }
    assert {name: state[name].shape for name in shapes} == shapes
    assert not any("conv2" in name or ".pool" in name for name in state)


def test_size_equals_the_published_classifier():
    state = Res2Net(101).state_dict()
    sizes = [int(np.prod(var.shape)) for name, var in state.items() if "running" not in name]
    assert round((sum(sizes) + LAST_LAYER) / 1e6, 1) == CLASSIFIER_101


def test_stem_and_first_stage_are_frozen():
    model = Res2Net(50, base_channels=16)
    learning = {name for name, var in model.named_parameters() if not var.is_stop_grad()}
    assert not any(name.startswith(("stem", "layer1")) for name in learning)
    assert "layer2.0.convs.0.weight" in learning and "layer2.0.downsample.2.weight" in learning


@pytest.mark.parametrize(
    "options, message", [(dict(depth=34), "depth 34"), (dict(depth=50, scales=1), "scales=1")]
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        Res2Net(**options)


@pytest.fixture(scope="module")
def small():
    """A model with random weights and statistics, its state and its maps of one odd-sized image."""
    model = Res2Net(50, base_channels=16)
    rng = np.random.default_rng(0)
    for name, var in model.state_dict().items():
        if name.endswith("running_var"):
            values = rng.uniform(0.8, 1.2, var.shape)
        elif len(var.shape) == 1:
            values = ("weight" in name) + 0.1 * rng.standard_normal(var.shape)
        else:
            values = rng.standard_normal(var.shape) / np.sqrt(np.prod(var.shape[1:]))
        var.assign(jt.array(values.astype(np.float32)))
    state = {name: var.numpy().astype(np.float64) for name, var in model.state_dict().items()}
    image = rng.standard_normal((1, 3, 74, 102)).astype(np.float32)
    with jt.no_grad():
        maps = [x.numpy() for x in model(jt.array(image))]
    return model, state, image, maps


def conv(x, weight, stride=1):
    """[D, H, W] with zero padding that keeps the size at stride 1."""
    pad = weight.shape[2] // 2
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, weight.shape[2:], axis=(1, 2))
    return np.einsum("dhwij,edij->ehw", windows[:, ::stride, ::stride], weight)


def norm(x, state, name):
    mean, var = (state[f"{name}.running_{key}"][:, None, None] for key in ("mean", "var"))
    weight, bias = (state[f"{name}.{key}"][:, None, None] for key in ("weight", "bias"))
    return (x - mean) / np.sqrt(var + 1e-5) * weight + bias


def pool_windows(x, size, stride, value):
    x = np.pad(x, ((0, 0), (size // 2, size // 2), (size // 2, size // 2)), constant_values=value)
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))[:, ::stride, ::stride]


def average_pairs(x):
    """Mean over 2x2 cells; a last row or column alone counts alone."""
    height, width = (size + size % 2 for size in x.shape[1:])
    padded = np.full((len(x), height, width), np.nan)
    padded[:, : x.shape[1], : x.shape[2]] = x
    return np.nanmean(padded.reshape(len(x), height // 2, 2, width // 2, 2), axis=(2, 4))


def block(x, state, name, width, stride, is_first):
    """One residual block, channel part after channel part."""
    inner = np.maximum(norm(conv(x, state[f"{name}.conv1.weight"]), state, f"{name}.bn1"), 0)
    outputs, previous = [], 0.0
    for part in range(PARTS - 1):
        own = inner[part * width : (part + 1) * width]
        y = conv(own if is_first else own + previous, state[f"{name}.convs.{part}.weight"], stride)
        previous = np.maximum(norm(y, state, f"{name}.bns.{part}"), 0)
        outputs.append(previous)
    last = inner[(PARTS - 1) * width :]
    outputs.append(last if stride == 1 else pool_windows(last, 3, stride, 0.0).mean(axis=(3, 4)))
    y = norm(conv(np.concatenate(outputs), state[f"{name}.conv3.weight"]), state, f"{name}.bn3")
    if is_first:
        x = average_pairs(x) if stride == 2 else x
        x = norm(conv(x, state[f"{name}.downsample.1.weight"]), state, f"{name}.downsample.2")
    return np.maximum(x + y, 0)


def test_maps_equal_a_plain_forward_pass(small):
    _, state, image, maps = small
    x = image[0].astype(np.float64)
    for index, stride in ((0, 2), (3, 1), (6, 1)):
        x = np.maximum(norm(conv(x, state[f"stem.{index}.weight"], stride), state, f"stem.{index + 1}"), 0)
    x = pool_windows(x, 3, 2, -np.inf).max(axis=(3, 4))
    for stage, (num_blocks, found) in enumerate(zip((3, 4, 6, 3), maps, strict=True)):
        for index in range(num_blocks):
            stride = 2 if stage and not index else 1
            x = block(x, state, f"layer{stage + 1}.{index}", WIDTHS[stage], stride, index == 0)
        assert found.shape[1:] == x.shape
        np.testing.assert_allclose(found[0], x, rtol=0, atol=1e-4 * np.abs(x).max())
