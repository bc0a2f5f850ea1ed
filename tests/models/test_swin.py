"""Swin transformers against the numbers of LGD's copy, layouts against NumPy's roll, dropped branches."""

import numpy as np
import pytest

from jld.errors import ConfigError
from jld.models import SwinTransformer
from jld.models.backbones.swin_layouts import merging_layout, relative_position_index, window_layout
from jld.ops.window_attention import APART
from jld.toolchain import jittor as jt
from tests.golden_cases import case
from tests.models.detectron2_golden import assert_gradients, fill_weights, weights_of
from tests.models.golden_models import assert_sampled, generated


def swin_of(meta):
    spec = dict(meta["swin"])
    options = {
        "embed_dims": spec.pop("embed"),
        "depths": spec.pop("depths"),
        "num_heads": spec.pop("heads"),
        "window_size": spec.pop("window"),
        "mlp_ratio": spec.pop("mlp_ratio"),
        "drop_path_rate": spec.pop("drop_path", 0),
    }
    assert not spec, spec
    return SwinTransformer(**options, out_indices=range(len(options["depths"])))


@pytest.mark.golden
@pytest.mark.parametrize("name", ["l_swin_small", "l_swin_tiny"])
def test_swin_transformers(name):
    meta, arrays = case(name)
    swin = swin_of(meta)
    own = fill_weights(swin, "backbone.", weights_of(meta, "swin"), "swin")
    x = generated(meta, "x")
    maps = swin(x)
    loss = 0
    for stage, found in enumerate(maps, 2):
        key = f"out/stage{stage}"
        loss = loss + (found * generated(meta, f"r/stage{stage}")).sum() * 0.01
        if key in arrays:
            expected = arrays[key]
            np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-4 * np.abs(expected).max())
        else:
            assert_sampled(meta, arrays, key, found.numpy(), 1e-4)
    assert loss.item() == pytest.approx(arrays["loss/total"], abs=1e-3)
    named = {name.removeprefix("backbone."): var for name, var in own.items()}
    gradients = [gradient.numpy() for gradient in jt.grad(loss, list(named.values()))]
    assert_gradients(meta, arrays, list(named), gradients, "")


@pytest.mark.golden
def test_layouts_of_windows():
    _, arrays = case("l_swin_small")
    for block, size in ((1, (10, 12)), (3, (5, 6))):
        _, _, regions = window_layout(*size, 4, 2)
        apart = np.where(regions[:, :, None] == regions[:, None], 0.0, APART)
        np.testing.assert_array_equal(apart, arrays[f"out/shift_mask/{block}"])
    _, arrays = case("l_swin_tiny")
    np.testing.assert_array_equal(relative_position_index(7), arrays["out/relative_position_index"])


@pytest.mark.parametrize("shift", [0, 3])
def test_a_window_layout_is_pad_roll_and_cut(shift):
    height, width, window = 9, 16, 7
    tokens, places, _ = window_layout(height, width, window, shift)
    padded = np.full((14, 21), -1)
    padded[:height, :width] = np.arange(height * width).reshape(height, width)
    rolled = np.roll(padded, (-shift, -shift), (0, 1))
    expected = [
        rolled[i : i + window, j : j + window].ravel()
        for i in range(0, 14, window)
        for j in range(0, 21, window)
    ]
    np.testing.assert_array_equal(tokens, np.concatenate(expected))
    np.testing.assert_array_equal(tokens[places], np.arange(height * width))


def test_merging_pads_odd_sizes():
    tokens, places = merging_layout(3, 3)
    assert tokens.tolist() == [0, 3, 1, 4, 2, 5, -1, -1, 6, -1, 7, -1, 8, -1, -1, -1]
    assert tokens[places].tolist() == list(range(9))


def test_branches_are_dropped_in_training_only():
    swin = SwinTransformer(8, (2,), (2,), window_size=4, drop_path_rate=0.5, out_indices=(0,))
    swin.layers[0].blocks[1].attn.proj.bias = jt.ones((8,))
    images = jt.randn(4, 3, 16, 16)
    swin.eval()
    (still,) = swin(images)
    np.testing.assert_array_equal(still.numpy(), swin(images)[0].numpy())
    swin.train()
    drawn = []
    for _ in range(2):
        jt.set_seed(5)
        drawn.append(swin(images)[0].numpy())
    np.testing.assert_array_equal(*drawn)
    assert np.abs(drawn[0] - still.numpy()).max() > 1e-3


def test_bad_options_of_swin_are_named():
    for options, message in (
        ({"num_heads": (3, 6)}, "one per stage"),
        ({"embed_dims": 90, "num_heads": (4, 6, 12, 24)}, "4 heads do not divide a width of 90"),
        ({"out_indices": (1, 4)}, "0 to 3"),
        ({"drop_path_rate": 1.0}, r"\[0, 1\)"),
    ):
        with pytest.raises(ConfigError, match=message):
            SwinTransformer(**options)
