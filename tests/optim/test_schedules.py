"""Learning rates, worked out by hand."""

import pytest

from jld.errors import ConfigError
from jld.optim import (
    ConstantLR,
    CosineAnnealingLR,
    ExpLR,
    InvLR,
    PolyLR,
    Progress,
    StepLR,
    scaled_lr,
)
from jld.registry import build


def test_one_x_schedule_with_the_reference_warmup():
    schedule = build(
        dict(
            type="StepLR",
            milestones=[8, 11],
            gamma=0.1,
            warmup="linear",
            warmup_iters=500,
            warmup_ratio=0.001,
        )
    )
    lr = lambda iteration, epoch: schedule.lr(0.01, Progress(iteration, epoch))  # noqa: E731
    assert lr(0, 0) == pytest.approx(0.01 * 0.001)
    assert lr(250, 0) == pytest.approx(0.01 * (1 - 0.5 * 0.999))
    assert lr(499, 0) == pytest.approx(0.01 * (1 - (1 / 500) * 0.999))
    assert lr(500, 0) == lr(60000, 7) == 0.01
    assert lr(60000, 8) == pytest.approx(0.001)
    assert lr(60000, 11) == pytest.approx(0.0001)


def test_milestones_count_iterations_when_the_run_does():
    schedule = StepLR([100, 200], min_lr=0.005)
    assert schedule.lr(0.1, Progress(99, 50, by_epoch=False)) == 0.1
    assert schedule.lr(0.1, Progress(100, 50, by_epoch=False)) == pytest.approx(0.01)
    assert schedule.lr(0.1, Progress(200, 50, by_epoch=False)) == 0.005
    assert StepLR([100], by_epoch=False).lr(0.1, Progress(100, 1, by_epoch=True)) == pytest.approx(0.01)
    assert StepLR(3).lr(1.0, Progress(0, 7)) == pytest.approx(0.01)


def test_warmup_kinds():
    constant = ConstantLR(warmup="constant", warmup_iters=10, warmup_ratio=0.25)
    assert [constant.lr(1.0, Progress(i, 0)) for i in (0, 9, 10)] == [0.25, 0.25, 1.0]
    exp = ConstantLR(warmup="exp", warmup_iters=10, warmup_ratio=0.25)
    assert exp.lr(1.0, Progress(5, 0)) == pytest.approx(0.5)
    with pytest.raises(ConfigError, match="did you mean 'linear'"):
        ConstantLR(warmup="linar")


def test_smooth_schedules():
    cosine = CosineAnnealingLR(10, min_lr=0.2)
    assert [cosine.lr(1.0, Progress(0, e)) for e in (0, 5, 10, 12)] == pytest.approx([1.0, 0.6, 0.2, 0.2])
    assert CosineAnnealingLR(10, min_lr_ratio=0.1).lr(2.0, Progress(0, 10)) == pytest.approx(0.2)
    assert PolyLR(10, power=2, min_lr=0.0).lr(1.0, Progress(0, 5)) == pytest.approx(0.25)
    assert PolyLR(10).lr(1.0, Progress(0, 11)) == 0.0
    assert ExpLR(0.5).lr(1.0, Progress(0, 3)) == 0.125
    assert InvLR(1.0, power=2).lr(1.0, Progress(0, 1)) == 0.25
    with pytest.raises(ConfigError, match="min_lr or min_lr_ratio"):
        CosineAnnealingLR(10)


def test_milestones_must_be_positive():
    with pytest.raises(ConfigError, match="above 0"):
        StepLR([0, 3])


def test_scaled_lr_is_the_linear_rule():
    assert scaled_lr(0.01, 6) == pytest.approx(0.00375)
    assert scaled_lr(0.01, 16) == 0.01


def test_settings_are_plain_data():
    assert StepLR([8, 11]).state_dict() == {
        "type": "StepLR",
        "milestones": [8, 11],
        "gamma": 0.1,
        "min_lr": None,
        "warmup": None,
        "warmup_iters": 500,
        "warmup_ratio": 1 / 3,
        "by_epoch": None,
    }
