"""PKD against numbers computed elsewhere and its formula in NumPy; levels and their partners."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.distill.terms import PKD
from jld.distill.terms.pkd import correlation_loss
from jld.errors import ConfigError
from jld.toolchain import jittor as jt
from tests.distill import check_values
from tests.distill.imitation_scene import GIVEN, OWN, bound, context, interfaces

SHAPE = (2, 3, 4, 5)


def correlation(student, teacher):
    """The loss through the coefficients of NumPy: (m - 1) / m mean over channels of 1 - r."""
    rows = [maps.astype(np.float64).swapaxes(0, 1).reshape(maps.shape[1], -1) for maps in (student, teacher)]
    r = [np.corrcoef(own, given)[0, 1] for own, given in zip(*rows, strict=True)]
    count = rows[0].shape[1]
    return (count - 1) / count * (1 - np.mean(r))


def levels(*pairs):
    """A context of maps, level by level."""
    own, given = zip(*pairs, strict=True)
    traces = [SimpleNamespace(features=list(map(jt.array, side))) for side in (own, given)]
    listed = [(level, *maps) for level, maps in enumerate(zip(*(t.features for t in traces), strict=True))]
    return SimpleNamespace(step=traces[0], teacher_trace=traces[1], feature_levels=lambda *_: iter(listed))


def test_check_value():
    student, teacher = check_values.student(*SHAPE), check_values.teacher(*SHAPE)
    own, given = map(jt.array, (student, teacher))
    loss = correlation_loss(own, given)
    np.testing.assert_allclose(loss.item(), 0.834048, rtol=2e-6)
    of_student, of_teacher = (g.numpy() for g in jt.grad(loss, [own, given]))
    np.testing.assert_allclose(of_student[0, 0, 0, 0], -0.020848, rtol=5e-5)
    assert not of_teacher.any()
    np.testing.assert_allclose(correlation(student, teacher), 0.834048, rtol=5e-6)


def test_scale_and_shift_of_a_channel_do_not_matter():
    student, teacher = check_values.student(*SHAPE), check_values.teacher(*SHAPE)
    factor, offset = np.float32([0.2, 1, 30])[:, None, None], np.float32([-4, 0, 5])[:, None, None]
    plain, moved = (
        correlation_loss(jt.array(x), jt.array(teacher)).item() for x in (student, student * factor + offset)
    )
    np.testing.assert_allclose(moved, plain, rtol=1e-4)
    np.testing.assert_allclose(
        correlation_loss(jt.array(teacher * 3 - 1), jt.array(teacher)).item(), 0, atol=1e-5
    )


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (1, 3, 1, 1)], ids=["a constant channel", "one cell"])
def test_maps_without_spread_have_a_finite_loss_and_no_direction(shape):
    student, teacher = check_values.student(*shape), check_values.teacher(*shape)
    student[:, 1] = 0.25
    own = jt.array(student)
    loss = correlation_loss(own, jt.array(teacher))
    gradient = jt.grad(loss, own).numpy()
    assert np.isfinite(loss.item()) and np.isfinite(gradient).all()
    assert not gradient[:, 1].any()
    if shape[0] == 1:
        assert loss.item() == 0 and not gradient.any()


def test_levels_are_added_after_the_adapter():
    term = bound(PKD(adapter="1x1"))
    step = context(term)
    expected = [
        correlation(term.adapters(level, student).numpy(), teacher.numpy())
        for level, student, teacher in step.feature_levels()
    ]
    np.testing.assert_allclose(term(step).item(), sum(expected), rtol=1e-4)
    term = bound(PKD(adapter="1x1", levels=[1]))
    assert list(term.modules()) == ["adapter.1"]
    expected = correlation(
        term.adapters(1, step.step.features[1]).numpy(), step.teacher_trace.features[1].numpy()
    )
    np.testing.assert_allclose(term(step).item(), expected, rtol=1e-4)


def test_levels_of_equal_number_are_compared_in_the_teachers_size():
    rng = np.random.default_rng(2)
    large, small, given = (
        rng.normal(size=(2, 3, *size)).astype(np.float32) for size in ((4, 6), (2, 3), (2, 3))
    )
    halved = large.reshape(2, 3, 2, 2, 3, 2).mean((3, 5))
    term = PKD(pair="index")
    assert not term.reads_features
    got = term(levels((large, given), (small, given))).item()
    np.testing.assert_allclose(got, correlation(halved, given) + correlation(small, given), rtol=1e-4)


def test_refusals():
    (problem,) = PKD().check(*interfaces())
    assert f"{OWN} channels, the teacher's {GIVEN}: add adapter='1x1'" in problem
    assert PKD(levels=[0, 1], adapter="1x1").check(*interfaces()) == []
    (problem,) = PKD(levels=[0, 3], adapter="1x1").check(*interfaces())
    assert "the teacher has no map for level 3, only for 0, 1" in problem
    with pytest.raises(ConfigError, match="did you mean 'index'"):
        PKD(pair="indices")
    with pytest.raises(ConfigError, match="levels is empty"):
        PKD(levels=[])
