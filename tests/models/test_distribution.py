"""Expectations over bins: reference numbers of the rotated head, closed forms, errors."""

import numpy as np
import pytest

from jld.errors import ConfigError
from jld.models.heads.distribution import support_values
from jld.ops.expectation import expected_bins, expected_values
from jld.toolchain import jittor as jt
from tests.golden_cases import case, fill

DELTA_RANGE, ANGLE_RANGE = (-2.0, 2.0), (-5.0, 2.0)


def rotated_supports(num_bins):
    return support_values([DELTA_RANGE] * 4 + [ANGLE_RANGE], num_bins)


@pytest.mark.golden
def test_expected_deltas_of_the_rotated_head():
    meta, arrays = case("r_integral")
    num_bins = arrays["out/project"].size
    supports = rotated_supports(num_bins)
    np.testing.assert_allclose(supports[:4], np.tile(arrays["out/project"], (4, 1)), atol=1e-6)
    np.testing.assert_allclose(supports[4], arrays["out/project_angle"], atol=1e-6)
    logits = fill.generate(meta["generated"]["logits"]).reshape(-1, 5, num_bins)
    got = expected_values(jt.array(logits), supports).numpy()
    np.testing.assert_allclose(got, arrays["out/deltas"], rtol=1e-5, atol=1e-6)


def test_expected_values_closed_form():
    ramp = np.broadcast_to(np.arange(9, dtype=np.float32) / 2, (5, 9))
    logits = jt.array(np.stack([ramp, np.zeros((5, 9), np.float32)]))
    got = expected_values(logits, rotated_supports(9)).numpy()
    np.testing.assert_allclose(got, [[1.279805] * 4 + [0.739659], [0] * 4 + [-1.5]], atol=1e-6)


def test_supports_that_count_bins_give_the_expected_bin():
    logits = jt.array(np.random.default_rng(0).standard_normal((3, 4, 17)).astype(np.float32))
    counting = support_values([(0.0, 16.0)] * 4, 17)
    np.testing.assert_allclose(
        expected_values(logits, counting).numpy(), expected_bins(logits).numpy(), rtol=1e-6
    )


def test_supports_need_width_and_bins():
    with pytest.raises(ConfigError, match="no width"):
        support_values([(2.0, 2.0)], 9)
    with pytest.raises(ConfigError, match="2 or more"):
        support_values([(0.0, 2.0)], 1)
