"""Up-sampling to odd sizes and the sources of extra pyramid levels."""

import numpy as np
import pytest

from jld.errors import ConfigError
from jld.models.necks.fpn import FPN, upsample_like
from jld.toolchain import jittor as jt


def test_upsampling_is_nearest_for_even_and_odd_sizes():
    x = np.random.default_rng(0).standard_normal((1, 2, 3, 4)).astype(np.float32)
    for height, width in ((6, 8), (5, 7), (6, 7)):
        up = upsample_like(jt.array(x), jt.zeros((1, 5, height, width))).numpy()
        rows, columns = np.arange(height) * 3 // height, np.arange(width) * 4 // width  # floor(i * in / out)
        np.testing.assert_array_equal(up, x[:, :, rows][:, :, :, columns])
    with pytest.raises(ValueError, match="not twice as large"):
        upsample_like(jt.array(x), jt.zeros((1, 2, 9, 8)))


def maps():
    rng = np.random.default_rng(1)
    return [
        jt.array(rng.standard_normal((1, d, h, w)).astype(np.float32)) for d, h, w in ((3, 9, 13), (4, 5, 7))
    ]


def test_outputs_of_every_extra_source():
    inputs = maps()
    necks = {
        source: FPN((3, 4), 4, num_outs=4, add_extra_convs=source)
        for source in ("on_input", "on_lateral", "on_output")
    }
    reference = necks["on_output"].state_dict()
    for source, neck in necks.items():
        neck.load_parameters(reference)
        outs = neck(inputs)
        assert [x.shape[2:] for x in outs] == [[9, 13], [5, 7], [3, 4], [2, 2]]
        lateral = neck.lateral_convs[1](inputs[1])
        read = {"on_input": inputs[1], "on_lateral": lateral, "on_output": neck.fpn_convs[1](lateral)}[source]
        np.testing.assert_allclose(outs[2].numpy(), neck.fpn_convs[2](read).numpy(), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(outs[3].numpy(), neck.fpn_convs[3](outs[2]).numpy(), rtol=1e-5, atol=1e-6)
        finest = neck.lateral_convs[0](inputs[0]) + upsample_like(lateral, inputs[0])
        np.testing.assert_allclose(outs[0].numpy(), neck.fpn_convs[0](finest).numpy(), rtol=1e-5, atol=1e-6)


def test_relu_between_extra_levels_and_subsampling():
    inputs = maps()
    neck = FPN(
        (3, 4), 4, num_outs=4, start_level=1, add_extra_convs="on_output", relu_before_extra_convs=True
    )
    outs = neck(inputs)
    assert len(outs) == 4
    np.testing.assert_allclose(
        outs[2].numpy(), neck.fpn_convs[2](jt.nn.relu(outs[1])).numpy(), rtol=1e-5, atol=1e-6
    )
    assert np.any(outs[1].numpy() < 0)
    plain = FPN((3, 4), 4, num_outs=3)
    outs = plain(inputs)
    np.testing.assert_array_equal(outs[2].numpy(), outs[1].numpy()[:, :, ::2, ::2])
    assert set(plain.state_dict()) == {
        f"{part}.{i}.conv.{kind}"
        for part in ("lateral_convs", "fpn_convs")
        for i in (0, 1)
        for kind in ("weight", "bias")
    }


def test_bad_options_are_named():
    with pytest.raises(ConfigError, match="on_output"):
        FPN((3, 4), add_extra_convs="on_outputs")
    with pytest.raises(ConfigError, match="num_outs=1"):
        FPN((3, 4), num_outs=1)
    with pytest.raises(ValueError, match="2 backbone maps and got 1"):
        FPN((3, 4))(maps()[:1])
    with pytest.raises(ConfigError, match="c2_xavier"):
        FPN((3, 4), init="c2-xavier")


@pytest.mark.parametrize("init", ["xavier", "c2_xavier"])
def test_initial_weights_fill_the_range_of_their_kind(init):
    neck = FPN((32, 64), 16, num_outs=3, add_extra_convs="on_input", init=init)
    for module in (*neck.lateral_convs, *neck.fpn_convs):
        weight, bias = module.conv.weight.numpy(), module.conv.bias.numpy()
        area = weight.shape[2] * weight.shape[3]
        fans = weight.shape[1] * area, weight.shape[0] * area
        bound = np.sqrt(3 / fans[0] if init == "c2_xavier" else 6 / sum(fans))
        assert 0.95 * bound < np.abs(weight).max() <= bound and not bias.any()
