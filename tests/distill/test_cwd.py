"""CWD against numbers computed elsewhere and its formula in NumPy, on features and on class logits."""

import numpy as np
import pytest

from jld.distill.terms import CWD
from jld.distill.terms.cwd import channel_wise_divergence
from jld.errors import ConfigError
from jld.toolchain import jittor as jt
from tests.distill import check_values
from tests.distill.imitation_scene import PRIORS, C, bound, context, interfaces

TEMPERATURE = 3.0


def divergence(student, teacher, temperature):
    """Mean over the leading axes of the KL divergence along the last one, times the squared temperature."""
    logs = []
    for values in (student, teacher):
        values = values.astype(np.float64) / temperature
        values -= values.max(-1, keepdims=True)
        logs.append(values - np.log(np.exp(values).sum(-1, keepdims=True)))
    return (np.exp(logs[1]) * (logs[1] - logs[0])).sum(-1).mean() * temperature**2


@pytest.mark.parametrize(("temperature", "value"), [(1, 0.752957), (4, 1.087019)])
def test_check_values(temperature, value):
    own, given = (jt.array(fill(2, 3, 20)) for fill in (check_values.student, check_values.teacher))
    loss = channel_wise_divergence(own, given, temperature)
    np.testing.assert_allclose(loss.item(), value, rtol=2e-6)
    of_student, of_teacher = (g.numpy() for g in jt.grad(loss, [own, given]))
    assert not of_teacher.any()
    if temperature == 1:
        np.testing.assert_allclose(of_student[0, 0, 0], -0.021983, rtol=5e-5)


def test_features_level_by_level():
    term = bound(CWD(reads="features", temperature=TEMPERATURE, adapter="1x1"))
    step = context(term)
    expected = 0
    for level, student, teacher in step.feature_levels():
        maps = term.adapters(level, student).numpy(), teacher.numpy()
        expected += divergence(*(x.reshape(*x.shape[:2], -1) for x in maps), TEMPERATURE)
    np.testing.assert_allclose(term(step).item(), expected, rtol=1e-4)


def test_logits_have_a_channel_per_class_and_prior_of_a_cell():
    term = bound(CWD(temperature=TEMPERATURE))
    step = context(term)
    expected = 0
    sides = [side.predictions["cls_logits"].numpy() for side in (step.student, step.teacher)]
    for rows in PRIORS.level_slices:
        maps = [x[:, rows].reshape(2, -1, PRIORS.num_per_cell * C).swapaxes(1, 2) for x in sides]
        expected += divergence(*maps, TEMPERATURE)
    np.testing.assert_allclose(term(step).item(), expected, rtol=1e-4)


def test_one_cell_says_nothing():
    own, given = (jt.array(fill(1, 3, 1)) for fill in (check_values.student, check_values.teacher))
    loss = channel_wise_divergence(own, given, 1.0)
    np.testing.assert_allclose([loss.item(), *jt.grad(loss, own).numpy().ravel()], 0, atol=1e-7)


def test_refusals():
    (problem,) = CWD(reads="features").check(*interfaces())
    assert "add adapter='1x1'" in problem
    with pytest.raises(ConfigError, match="did you mean 'features'"):
        CWD(reads="feature")
    with pytest.raises(ConfigError, match="an adapter belongs to reads='features'"):
        CWD(adapter="1x1")
