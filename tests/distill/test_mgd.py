"""MGD against a number computed elsewhere; which cells are hidden, and that a step repeats them."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.distill.terms import MGD
from jld.distill.terms.mgd import Generator
from jld.errors import ConfigError
from jld.runner.loop import seed_step
from jld.toolchain import jittor as jt
from tests.distill import check_values
from tests.distill.imitation_scene import GIVEN, OWN, bound, context, interfaces

SHAPE = (2, 2, 3, 4)


def one_level(student, teacher):
    return SimpleNamespace(feature_levels=lambda *_: iter([(0, student, teacher)]))


def given_generator():
    """Two convolutions with weights that a line writes down."""
    generator = Generator(2)
    j = np.arange(36)
    for conv, wave, bias in (
        (generator.first, np.sin, (0.1, -0.1)),
        (generator.second, np.cos, (0.05, 0.02)),
    ):
        conv.weight = jt.array((0.3 * wave(j)).reshape(2, 2, 3, 3).astype(np.float32))
        conv.bias = jt.array(np.float32(bias))
    return generator


def test_check_value(monkeypatch):
    term = MGD(masked=0.5)
    term.generators = {"generator.0": given_generator()}
    own, given = (jt.array(fill(*SHAPE)) for fill in (check_values.student, check_values.teacher))
    kept = (np.arange(24).reshape(2, 1, 3, 4) % 3 == 0).astype(np.float32)
    monkeypatch.setattr(jt, "rand", lambda shape: jt.array(1 - kept).reshape(shape))  # 0 <= 0.5 < 1
    loss = term(one_level(own, given))
    np.testing.assert_allclose(loss.item(), 54.215686, rtol=2e-6)
    made = term.generators["generator.0"](own * jt.array(kept))
    np.testing.assert_allclose(made[0, 0, 0, 0].item(), 0.098166, rtol=2e-5)
    gradient = jt.grad(loss, own).numpy()
    hidden = np.broadcast_to(kept == 0, SHAPE)
    assert gradient[~hidden].any() and not gradient[hidden].any()
    term.per_cell = True
    np.testing.assert_allclose(term(one_level(own, given)).item(), 54.215686 / 12, rtol=2e-6)


def test_the_masked_share_is_hidden_from_every_image():
    term = MGD(masked=0.65)
    term.generators = {"generator.0": lambda x: x}
    jt.set_seed(5)
    ones = jt.ones((2, 3, 50, 60))
    own = jt.ones((2, 3, 50, 60))
    seen = jt.grad(term(one_level(own, ones * 2)), own).numpy() != 0  # [N, D, H, W] 1 where a cell is shown
    assert (seen == seen[:, :1]).all(), "a cell is hidden in all channels"
    np.testing.assert_allclose(seen.mean((1, 2, 3)), 0.35, atol=0.03)
    assert (seen[0] != seen[1]).any()


def test_a_step_draws_what_it_drew_before():
    """A resumed run seeds its steps anew: equal steps draw equal masks, other steps others."""
    term = bound(MGD(adapter="1x1"))
    step = context(term)
    drawn = []
    for iteration in (7, 8, 7):
        seed_step(3, iteration)
        drawn.append(term(step).item())
    assert drawn[0] == drawn[2] != drawn[1]


def test_a_generator_per_level():
    term = bound(MGD(masked=0, adapter="1x1"))
    assert list(term.modules()) == ["adapter.0", "adapter.1", "generator.0", "generator.1"]
    step = context(term)
    expected = 0
    for level, student, teacher in step.feature_levels():
        made = term.generators[f"generator.{level}"](term.adapters(level, student))
        expected += ((made.numpy() - teacher.numpy()) ** 2).sum() / 2
    np.testing.assert_allclose(term(step).item(), expected, rtol=1e-4)


def test_one_cell_is_finite_and_taught():
    term = MGD(masked=0)
    term.generators = {"generator.0": given_generator()}
    own, given = (jt.array(fill(1, 2, 1, 1)) for fill in (check_values.student, check_values.teacher))
    loss = term(one_level(own, given))
    gradient = jt.grad(loss, own).numpy()
    assert np.isfinite([loss.item(), *gradient.ravel()]).all() and gradient.any()


def test_refusals():
    (problem,) = MGD().check(*interfaces())
    assert f"{OWN} channels, the teacher's {GIVEN}: add adapter='1x1'" in problem
    for share in (1.0, -0.1):
        with pytest.raises(ConfigError, match=r"must be in \[0, 1\)"):
            MGD(masked=share)
