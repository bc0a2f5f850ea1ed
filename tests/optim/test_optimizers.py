"""Optimizers against numbers of PyTorch 2.13 on a quadratic with three entries."""

import numpy as np
import pytest

from jld.errors import CheckpointError, ConfigError
from jld.optim import SGD, Adam, AdamW, LossScale, Optimizers, Progress, StepLR, divided
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
    with pytest.raises(ConfigError, match="start=-1 must be a whole number of steps from 0 on"):
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


def by_hand(start, factors, momentum, lr=0.1, clip=np.inf):
    """SGD with clipped values on sum(factor * p), whose gradient is the factor of the step."""
    p, velocity = np.array(start, np.float64), 0.0
    for factor in factors:
        velocity = momentum * velocity + np.clip(factor, -clip, clip)
        p = p - lr * velocity
    return p


def test_several_optimizers_share_one_backward_pass_and_clip_alone(monkeypatch):
    params = {"backbone.w": parameter(), "distill.teacher.w": parameter([2.0])}
    shares = divided(params, {"student": dict(match="backbone.*"), "teacher": dict(match=["distill.*"])})
    optimizer = Optimizers(
        {
            "student": SGD(shares["student"], 0.1, momentum=0.5, grad_clip=dict(max_value=1.5)),
            "teacher": SGD(shares["teacher"], 0.02, momentum=0.9),
        }
    )
    passes, grad = [], jt.grad
    monkeypatch.setattr(jt, "grad", lambda loss, over: passes.append(len(over)) or grad(loss, over))
    for k in range(3):
        optimizer.step(params["backbone.w"].sum() * (k + 1.0) + params["distill.teacher.w"].sum() * 4.0)
    assert passes == [2, 2, 2]
    expected = by_hand(START, [1, 2, 3], 0.5, clip=1.5)
    np.testing.assert_allclose(params["backbone.w"].numpy(), expected, rtol=1e-6)
    expected = by_hand([2.0], [4, 4, 4], 0.9, lr=0.02)
    np.testing.assert_allclose(params["distill.teacher.w"].numpy(), expected, rtol=1e-6)


def test_every_trainable_parameter_has_exactly_one_optimizer():
    params = {"backbone.w": parameter(), "neck.w": parameter(), "neck.b": parameter()}
    divide = lambda **rules: divided(params, rules)  # noqa: E731
    with pytest.raises(ConfigError, match=r"no `match` covers neck\.w, neck\.b: every"):
        divide(a=dict(match="backbone.*"))
    with pytest.raises(ConfigError, match=r"a and b both match neck\.w, neck\.b: .*but_not"):
        divide(a=dict(match="*"), b=dict(match="neck.*"))
    with pytest.raises(ConfigError, match=r"optimizer\.b: no trainable parameter fits match='head\.\*'"):
        divide(a=dict(match="*"), b=dict(match="head.*"))
    with pytest.raises(ConfigError, match=r"optimizer\.b needs match="):
        divide(a=dict(match="*"), b={})
    params["neck.b"].stop_grad()
    shares = divide(a=dict(match="*", but_not=["neck.w"]), b=dict(match="*.w", but_not="backbone.*"))
    assert {name: list(share) for name, share in shares.items()} == {
        "a": ["backbone.w", "neck.b"],
        "b": ["neck.w"],
    }


def test_each_optimizer_follows_its_own_schedule_or_the_shared_one():
    optimizer = Optimizers({"a": SGD({"p": parameter()}, 0.1), "b": SGD({"q": parameter()}, 0.4)})
    steps = StepLR([2], gamma=0.5)
    optimizer.follow(steps, Progress(0, 2))
    assert optimizer.rates == {"a": 0.05, "b": 0.2}
    optimizer.follow({"b": StepLR([1, 2], gamma=0.5)}, Progress(0, 2))
    assert optimizer.rates == {"a": 0.05, "b": 0.1}


def test_states_of_several_optimizers_are_found_by_name():
    def make(*names):
        params = {name: parameter() for name in ("p", "q")}
        members = {
            name: SGD({key: params[key]}, 0.1, momentum=0.5) for name, key in zip(names, params, strict=True)
        }
        return params, Optimizers(members)

    params, optimizer = make("one", "two")
    optimizer.step(params["p"].sum() + params["q"].sum() * 3.0)
    state = optimizer.state_dict()
    again, resumed = make("one", "two")
    resumed.load_state_dict({"optimizers": dict(reversed(state["optimizers"].items()))})
    resumed.step(again["p"].sum() + again["q"].sum() * 3.0)
    np.testing.assert_allclose(again["q"].numpy(), np.array(START) - 0.1 * (0.5 * 3 + 3), rtol=1e-6)
    with pytest.raises(CheckpointError, match="the optimizers one, two, this run has one, three"):
        make("one", "three")[1].load_state_dict(state)
    single = Optimizers(SGD(params, 0.1, momentum=0.5))
    with pytest.raises(CheckpointError, match="the optimizers one, two, this run has optimizer:"):
        single.load_state_dict(state)
    with pytest.raises(CheckpointError, match="the state of one optimizer, this run has one, two"):
        optimizer.load_state_dict(single.state_dict())


@pytest.mark.parametrize(
    ("cls", "settings"),
    [
        (SGD, dict(momentum=0.9, weight_decay=0.1, dampening=0.5)),
        (SGD, dict(weight_decay=0.1, grad_clip=dict(max_norm=0.5))),
        (Adam, dict(weight_decay=0.1)),
        (AdamW, dict(weight_decay=0.1)),
    ],
)
@pytest.mark.parametrize("has_scale", [False, True])
def test_a_parameter_that_starts_later_is_as_fresh_as_if_training_began_there(cls, settings, has_scale):
    early, late, fresh = parameter(), parameter(), parameter()
    rules = [dict(match="late*", start=3)]
    optimizer = Optimizers(
        cls({"early": early, "late": late}, lr=0.1, parameter_groups=rules, **settings),
        LossScale(1024.0) if has_scale else None,
    )
    # The early one has no gradient, so that clipping the norm of both is clipping that of the late one.
    for k in range(3):
        optimizer.step(early.sum() * 0.0 * (float("inf") if has_scale and k == 1 else 1.0) + late.sum())
        assert late.numpy().tolist() == START
        assert not any(buffer.numpy().any() for buffer in optimizer.slots[1].buffers.values())
    alone = Optimizers(cls({"fresh": fresh}, lr=0.1, **settings))
    saved = optimizer.state_dict()
    for k in range(2):
        optimizer.step(early.sum() * 0.0 + loss_of(late, k))
        alone.step(loss_of(fresh, k))
    np.testing.assert_allclose(late.numpy(), fresh.numpy(), rtol=1e-4 if has_scale else 1e-6)
    assert not np.allclose(late.numpy(), START)
    taken = optimizer.state_dict()["taken"]
    assert taken == {0: 5 - has_scale, 3: 2}
    assert saved["taken"] == {0: 3 - has_scale, 3: 0}


def test_no_gradient_is_computed_before_a_start():
    params = {"early": parameter(), "late": parameter()}
    optimizer = Optimizers(SGD(params, 0.1, parameter_groups=[dict(match="late", start=1)]))
    found = []
    for _ in range(2):
        optimizer.backward(sum(p.sum() for p in params.values()))
        grads = optimizer.gradients.take()
        found.append(list(grads))
        optimizer.members["optimizer"].step(grads)
    assert found == [["early"], ["early", "late"]]
    optimizer.check_length(2)
    with pytest.raises(ConfigError, match=r"late would begin to learn at step 1, but .* only 1 steps"):
        optimizer.check_length(1)
    with pytest.raises(ConfigError, match="the first steps would train nothing"):
        Optimizers(SGD(params, 0.1, parameter_groups=[dict(match="*", start=1)]))


def test_a_current_rate_goes_on_unless_the_config_has_another_base():
    optimizer = SGD({"p": parameter()}, 0.1)
    optimizer.lr = 0.01
    for base, expected in ((0.1, 0.01), (0.2, 0.2)):
        resumed = SGD({"p": parameter()}, base)
        resumed.load_state_dict(optimizer.state_dict())
        assert (resumed.lr, resumed.base_lr) == (expected, base)


def test_files_without_counts_continue_with_the_steps_that_were_taken():
    optimizer = Adam({"p": parameter()})
    state = optimizer.state_dict() | {"num_steps": 7, "loss_scale": {"skipped": 2.0}}
    del state["taken"]
    optimizer.load_state_dict(state)
    assert optimizer.taken == {0: 5} and optimizer.num_steps == 7
