"""Weight averaging against the recursion by hand."""

import math

import numpy as np
import pytest

from jld.errors import CheckpointError
from jld.optim import SGD, Optimizers, WeightAverage
from jld.toolchain import jittor as jt


def make():
    return {"w": jt.array([1.0, 2.0]), "frozen": jt.array([5.0]).stop_grad(), "count": jt.array([3]).int32()}


def test_follows_with_a_growing_decay():
    state = make()
    average = WeightAverage(state, decay=0.5, warmup_iters=2)
    expected = np.array([1.0, 2.0])
    for k in range(3):
        state["w"].update(state["w"] + 1.0)
        average.update()
        decay = 0.5 * (1 - math.exp(-(k + 1) / 2))
        expected = decay * expected + (1 - decay) * (np.array([1.0, 2.0]) + k + 1)
        assert average.current_decay() == pytest.approx(decay)
    saved = average.state_dict()
    np.testing.assert_allclose(saved["state"]["w"], expected, rtol=1e-6)
    assert sorted(saved["state"]) == ["frozen", "w"]


def test_applied_swaps_and_restores_bit_for_bit():
    state = make()
    optimizer = Optimizers(SGD({"w": state["w"]}, 0.1, momentum=0.9))
    average = WeightAverage(state, decay=0.9, warmup_iters=0)
    optimizer.step((state["w"] * state["w"]).sum())
    average.update()
    before = state["w"].numpy().copy()
    with average.applied():
        np.testing.assert_allclose(state["w"].numpy(), 0.9 * np.array([1.0, 2.0]) + 0.1 * before, rtol=1e-6)
    assert np.array_equal(state["w"].numpy(), before)
    assert state["frozen"].is_stop_grad()
    assert not state["w"].is_stop_grad()
    # Training goes on from the restored weights: v = 0.9 * 2 p0 + 2 p1.
    optimizer.step((state["w"] * state["w"]).sum())
    velocity = 0.9 * 2 * np.array([1.0, 2.0]) + 2 * before
    np.testing.assert_allclose(state["w"].numpy(), before - 0.1 * velocity, rtol=1e-6)


def test_state_round_trip():
    state = make()
    average = WeightAverage(state, decay=0.5, warmup_iters=0)
    state["w"].update(state["w"] * 3.0)
    average.update()
    other = WeightAverage(make(), decay=0.5, warmup_iters=0)
    other.load_state_dict(average.state_dict())
    assert other.num_updates == 1
    np.testing.assert_array_equal(other.state_dict()["state"]["w"], [2.0, 4.0])
    with pytest.raises(CheckpointError, match="lacks 'frozen'"):
        other.load_state_dict({"num_updates": 1, "state": {"w": np.zeros(2, np.float32)}})
