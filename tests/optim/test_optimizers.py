"""Optimizers against numbers of PyTorch 2.13 on a quadratic with three entries."""

import numpy as np
import pytest

from jld.errors import CheckpointError, ConfigError
from jld.optim import SGD, Adam, AdamW, Optimizers, Progress, StepLR, divided
from jld.optim.base import clip_norm
from jld.registry import OPTIMIZERS, build
from jld.toolchain import jittor as jt

START = [1.0, -2.0, 0.5]
FACTOR = np.array([0.5, 1.0, -1.0], np.float32)
# Three steps on sum((p * FACTOR)^2) + (k + 1) * sum(p), computed by torch.optim with the same arguments.
TORCH = [
    (SGD, dict(lr=0.1), [0.277125, -1.5480001, -0.26799998]),
    (SGD, dict(lr=0.1, momentum=0.9, weight_decay=0.01), [-0.19543798, -0.95484847, -0.80936307]),
    (
        SGD,
        dict(lr=0.1, momentum=0.9, weight_decay=0.01, dampening=0.5),
        [0.19457392, -1.06111407, -0.43943408],
    ),
    (
        SGD,
        dict(lr=0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
        [-0.74357641, -0.9081971, -1.18732488],
    ),
    (Adam, dict(lr=0.1, eps=1e-2, weight_decay=0.1), [0.70459688, -1.71895409, 0.20227902]),
    (AdamW, dict(lr=0.1, eps=1e-2, weight_decay=0.1), [0.67839754, -1.66657495, 0.19051899]),
]


def parameter(values=START):
    return jt.array(np.array(values, np.float32))


def loss_of(p, k):
    return ((p * jt.array(FACTOR)) ** 2).sum() + (p * (k + 1.0)).sum()


@pytest.mark.parametrize(("cls", "settings", "expected"), TORCH)
def test_three_steps_equal_torch(cls, settings, expected):
    p = parameter()
    optimizer = Optimizers(cls({"p": p}, **settings))
    for k in range(3):
        optimizer.step(loss_of(p, k))
    np.testing.assert_allclose(p.numpy(), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize(("cls", "settings", "expected"), [TORCH[1], TORCH[4]])
def test_saved_state_continues_exactly(cls, settings, expected):
    first = parameter()
    optimizer = Optimizers(cls({"p": first}, **settings))
    optimizer.step(loss_of(first, 0))
    state, weights = optimizer.state_dict(), first.numpy().copy()
    second = parameter(weights)
    resumed = Optimizers(cls({"p": second}, **settings))
    resumed.load_state_dict(state)
    for k in (1, 2):
        optimizer.step(loss_of(first, k))
        resumed.step(loss_of(second, k))
    assert np.array_equal(first.numpy(), second.numpy())
    np.testing.assert_allclose(second.numpy(), expected, rtol=2e-6, atol=2e-6)
    assert all(isinstance(array, np.ndarray) for array in state["state"]["p"].values())


def test_state_of_another_optimizer_or_shape_is_refused():
    optimizer = SGD({"p": parameter()}, 0.1, momentum=0.9)
    with pytest.raises(CheckpointError, match=r"'SGD'.*'Adam'"):
        Adam({"p": parameter()}).load_state_dict(optimizer.state_dict())
    with pytest.raises(CheckpointError, match=r"shape \(3,\)"):
        SGD({"p": parameter([1.0])}, 0.1, momentum=0.9).load_state_dict(optimizer.state_dict())
    with pytest.raises(CheckpointError, match="no entry for 'q'"):
        SGD({"q": parameter()}, 0.1, momentum=0.9).load_state_dict(optimizer.state_dict())
    with pytest.raises(CheckpointError, match="kept no momentum of 'p'"):
        optimizer.load_state_dict(SGD({"p": parameter()}, 0.1).state_dict())


def test_two_accumulated_halves_equal_one_batch():
    whole, halves = parameter(), parameter()
    one, two = Optimizers(Adam({"p": whole}, 0.1)), Optimizers(Adam({"p": halves}, 0.1))
    for k in range(2):
        one.step(loss_of(whole, k))
        two.backward(loss_of(halves, k) / 2)
        two.step(loss_of(halves, k) / 2)
    np.testing.assert_allclose(whole.numpy(), halves.numpy(), rtol=1e-6)
    assert [each.members["optimizer"].num_steps for each in (one, two)] == [2, 2]


def test_step_without_gradient_says_so():
    with pytest.raises(ValueError, match="without a loss"):
        Optimizers(SGD({"p": parameter()}, 0.1)).step()


def test_frozen_parameters_are_excluded():
    frozen, free = parameter().stop_grad(), parameter()
    optimizer = Optimizers(SGD({"frozen": frozen, "free": free}, 0.1, weight_decay=0.5))
    optimizer.step((frozen * free).sum())
    assert frozen.numpy().tolist() == START
    assert list(optimizer.state_dict()["state"]) == ["free"]
    assert not np.allclose(free.numpy(), START)
    with pytest.raises(ConfigError, match="every one is frozen"):
        SGD({"frozen": frozen}, 0.1)


def test_parameter_groups_scale_lr_and_decay():
    names = ("conv.weight", "conv.bias", "gn.bias")
    params = {name: parameter() for name in names}
    rules = [dict(match="*.bias", but_not=["gn.*"], lr_mult=2.0, decay_mult=0.0)]
    optimizer = SGD(params, 0.1, weight_decay=0.1, parameter_groups=rules)
    optimizer.lr = 0.01
    Optimizers(optimizer).step(sum(p.sum() for p in params.values()))
    decayed = [p - 0.01 * (1 + 0.1 * p) for p in START]
    np.testing.assert_allclose(params["conv.weight"].numpy(), decayed, rtol=1e-6)
    np.testing.assert_allclose(params["gn.bias"].numpy(), decayed, rtol=1e-6)
    np.testing.assert_allclose(params["conv.bias"].numpy(), [p - 0.02 for p in START], rtol=1e-6)


def test_wrong_settings_are_named():
    with pytest.raises(ConfigError, match="did you mean 'match'"):
        SGD({"p": parameter()}, 0.1, parameter_groups=[dict(matches="*")])
    with pytest.raises(ConfigError, match="needs match"):
        SGD({"p": parameter()}, 0.1, parameter_groups=[dict(lr_mult=2)])
    with pytest.raises(ConfigError, match="max_norm=35"):
        SGD({"p": parameter()}, 0.1, grad_clip=dict(maximum=3))
    with pytest.raises(ConfigError, match=r"no parameter fits the rule .*'q\*'"):
        SGD({"p": parameter()}, 0.1, parameter_groups=[dict(match="q*", lr_mult=2)])
    with pytest.raises(ConfigError, match="start=-1 must be a number from 0 on"):
        SGD({"p": parameter()}, 0.1, parameter_groups=[dict(match="p", start=-1)])
    with pytest.raises(ConfigError, match="nesterov"):
        SGD({"p": parameter()}, 0.1, nesterov=True)


@pytest.mark.parametrize(
    ("order", "expected"),
    [  # torch.nn.utils.clip_grad_norm_ with max_norm 6.5
        (2, [[1.5], [2.0, -6.0]]),
        (1, [[1.0263157], [1.3684208, -4.1052628]]),
        ("inf", [[1.625], [2.1666667, -6.5]]),
    ],
)
def test_clip_norm_equals_torch(order, expected):
    grads = [jt.array([3.0]), jt.array([4.0, -12.0])]
    for clipped, wanted in zip(clip_norm(grads, 6.5, order), expected, strict=True):
        np.testing.assert_allclose(clipped.numpy(), wanted, rtol=1e-6)


def test_clip_norm_of_a_layer_with_millions_of_weights():
    """The norm counts all of them: the factor is right to single precision."""
    grad = np.random.default_rng(0).standard_normal(3_000_000).astype(np.float32)
    norm = np.linalg.norm(grad.astype(np.float64))
    (clipped,) = clip_norm([jt.array(grad)], 1.0)
    np.testing.assert_allclose(clipped.numpy()[:8] / grad[:8], 1 / norm, rtol=1e-6)


def test_clipping_inside_a_step():
    p = parameter([3.0, 4.0])
    step = lambda p, lr, **clip: Optimizers(SGD({"p": p}, lr, grad_clip=clip)).step((p * p).sum())  # noqa: E731
    step(p, 1.0, max_norm=1, norm_type=2)
    np.testing.assert_allclose(p.numpy(), [3 - 0.6, 4 - 0.8], rtol=1e-6)
    p = parameter([3.0, -4.0])
    step(p, 1.0, max_value=0.25)
    np.testing.assert_allclose(p.numpy(), [2.75, -3.75], rtol=1e-6)
    p = parameter([0.3, 0.4])
    step(p, 0.1, max_norm=35)
    np.testing.assert_allclose(p.numpy(), [0.24, 0.32], rtol=1e-6)


def test_built_from_a_config_section():
    section = dict(
        type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4, grad_clip=dict(max_norm=35, norm_type=2)
    )
    optimizer = build(section, params={"p": parameter()})
    assert isinstance(optimizer, SGD)
    assert optimizer.lr == 0.01
    assert set(OPTIMIZERS.names()) >= {"SGD", "Adam", "AdamW"}
