"""The loss scale against torch.amp.GradScaler's rules written out in Python, on steps that overflow."""

import numpy as np
import pytest

from jld.optim import SGD, Adam, LossScale, Optimizers, gradients
from jld.toolchain import jittor as jt

START = np.array([1.0, -2.0, 0.5], np.float32)
OVERFLOWS = (0, 3, 4, 8)
STEPS = 12


class ScalerByTheBook:
    """GradScaler in plain Python."""

    def __init__(self, scale=65536.0, interval=2000):
        self.scale, self.interval, self.good, self.skipped = scale, interval, 0, 0

    def update(self, overflow):
        if overflow:
            self.scale, self.good, self.skipped = self.scale * 0.5, 0, self.skipped + 1
            return
        self.good += 1
        if self.good == self.interval:
            self.scale = self.scale * 2 if self.scale * 2 < 3.4e38 else self.scale
            self.good = 0

    def state(self):
        return {"scale": self.scale, "good_steps": float(self.good), "skipped": float(self.skipped)}


def loss_of(p, k, factor=1.0):
    """Its gradient is 2 p + k + 1, times what makes it overflow."""
    return ((p * p).sum() + (p * (k + 1.0)).sum()) * factor


def train(optimizer, p, steps, expect=None):
    """The parameter after each step."""
    seen = []
    for k in steps:
        optimizer.step(loss_of(p, k, float("inf") if k in OVERFLOWS else 1.0))
        jt.sync_all()
        seen.append(p.numpy().copy())
        if expect is not None:
            expect.update(k in OVERFLOWS)
            assert optimizer.loss_scale.state_dict() == expect.state(), k
    return seen


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (SGD, dict(lr=0.1, momentum=0.9, weight_decay=0.01, dampening=0.5, grad_clip=dict(max_norm=3.0))),
        (Adam, dict(lr=0.1, weight_decay=0.1)),
    ],
)
def test_a_skipped_step_leaves_everything_as_it_was(cls, settings):
    """The others are those of an optimizer that never saw the skipped ones; the first step overflows."""
    p, q = jt.array(START), jt.array(START)
    scaled = Optimizers(cls({"p": p}, **settings), LossScale(interval=3))
    plain = Optimizers(cls({"p": q}, **settings))
    found = train(scaled, p, range(STEPS), ScalerByTheBook(interval=3))
    before = START
    for k, after in enumerate(found):
        if k in OVERFLOWS:
            np.testing.assert_array_equal(after, before)
            continue
        before = after
        plain.step(loss_of(q, k))
        # Adam's corrections are float32 here: 1 - 0.999^t loses digits.
        np.testing.assert_allclose(after, q.numpy(), rtol=1e-4, atol=1e-5)
    for name, buffer in scaled.slots[0].buffers.items():
        assert np.isfinite(buffer.numpy()).all() and buffer.is_stop_grad(), name


def test_the_scale_grows_up_to_the_largest_float():
    scale, book = LossScale(2.0**125, interval=1), ScalerByTheBook(2.0**125, interval=1)
    for _ in range(4):
        scale.unscaled([jt.ones(2)])
        book.update(False)
    assert scale.state_dict() == book.state()
    assert book.scale == 2.0**127


def test_constants_are_those_of_torch():
    scale = LossScale()
    assert (scale.scale.item(), scale.growth, scale.backoff, scale.interval) == (65536, 2, 0.5, 2000)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_one_entry_of_one_gradient_is_enough(bad):
    scale, grads = LossScale(4.0), [np.ones((2, 3), np.float32), np.full(5, 8.0, np.float32)]
    with pytest.raises(ValueError, match="before `unscaled`"):
        scale.kept(jt.ones(1), jt.zeros(1))
    assert [grad.numpy().max() for grad in scale.unscaled(list(map(jt.array, grads)))] == [0.25, 2.0]
    assert scale.is_finite.item()
    grads[0][1, 2] = bad
    scale.unscaled(list(map(jt.array, grads)))
    assert not scale.is_finite.item()


def test_accumulated_batches_share_one_scale_and_one_decision():
    p, q = jt.array(START), jt.array(START)
    scaled = Optimizers(SGD({"p": p}, 0.1, momentum=0.9), LossScale())
    plain = Optimizers(SGD({"p": q}, 0.1, momentum=0.9))
    for k in range(3):
        for optimizer, var in ((scaled, p), (plain, q)):
            optimizer.backward(loss_of(var, k) / 2)
            optimizer.step(loss_of(var, k + 1) / 2)
    np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-6)
    before = p.numpy().copy()
    scaled.backward(loss_of(p, 0, float("inf")))
    scaled.step(loss_of(p, 0))
    np.testing.assert_array_equal(p.numpy(), before)
    assert scaled.loss_scale.scale.item() == 32768


def test_ranks_decide_on_the_reduced_gradients(monkeypatch):
    """An overflow on another rank, which only the average shows, skips the step here."""
    p = jt.array(START)
    optimizer = Optimizers(SGD({"p": p}, 0.1), LossScale())
    monkeypatch.setattr(gradients, "average_gradients", lambda grads: [grad * float("inf") for grad in grads])
    optimizer.step(loss_of(p, 0))
    np.testing.assert_array_equal(p.numpy(), START)
    assert optimizer.loss_scale.skipped.item() == 1


@pytest.mark.parametrize("cls", [SGD, Adam])
def test_a_saved_state_continues_exactly(cls):
    p = jt.array(START)
    optimizer = Optimizers(cls({"p": p}, 0.1), LossScale(interval=3))
    train(optimizer, p, range(5))
    state, weights = optimizer.state_dict(), p.numpy().copy()
    assert state["loss_scale"] == {"scale": 8192.0, "good_steps": 0.0, "skipped": 3.0}
    q = jt.array(weights)
    resumed = Optimizers(cls({"p": q}, 0.1), LossScale(interval=3))
    resumed.load_state_dict(state)
    for ours, theirs in zip(
        train(resumed, q, range(5, STEPS)), train(optimizer, p, range(5, STEPS)), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert resumed.state_dict()["loss_scale"] == optimizer.state_dict()["loss_scale"]


def test_states_with_and_without_a_scale_fit_each_other():
    p = jt.array(START)
    plain = Optimizers(Adam({"p": p}, 0.1))
    plain.step(loss_of(p, 0))
    assert "loss_scale" not in plain.state_dict()
    scaled = Optimizers(Adam({"p": jt.array(START)}, 0.1), LossScale())
    scaled.load_state_dict(plain.state_dict())
    assert scaled.loss_scale.state_dict() == {"scale": 65536.0, "good_steps": 0.0, "skipped": 0.0}
    train(scaled, scaled.slots[0].param, (0, 1))  # the first of these is skipped
    plain.load_state_dict(scaled.state_dict())
    assert plain.members["optimizer"].taken == {0: 2}
    assert plain.members["optimizer"].num_steps == 3


def test_the_host_reads_nothing_and_no_graph_grows():
    reads, alive = [], []
    p = jt.array(START)
    optimizer = Optimizers(Adam({"p": p}, 0.1), LossScale(interval=2))
    originals = {name: getattr(jt.Var, name) for name in ("numpy", "item", "fetch_sync")}
    for name, original in originals.items():
        setattr(jt.Var, name, lambda var, name=name, original=original: reads.append(name) or original(var))
    try:
        for k in range(30):
            optimizer.step(loss_of(p, k % 12, float("inf") if k % 12 in OVERFLOWS else 1.0))
            jt.sync_all()
            alive.append(jt.number_of_lived_vars())
    finally:
        for name, original in originals.items():
            setattr(jt.Var, name, original)
    assert not reads
    assert max(alive[15:]) <= max(alive[:15])
