"""Two optimizers with a backbone that starts late, against LGD's: clip by value, decay, warm-up, steps."""

import numpy as np
import pytest

from jld.optim import SGD, AdamW, Optimizers, StepLR, divided
from jld.optim.schedules import Progress
from jld.toolchain import jittor as jt
from tests.golden_cases import case, fill

NUM_ITERATIONS = 6


def optimizer_of(settings, params, freeze=0):
    kinds = {"SGD": (SGD, {"momentum": settings["MOMENTUM"]}), "ADAMW": (AdamW, {})}
    kind, own = kinds[settings["OPTIMIZER"].upper()]
    groups = [dict(match="student.raw_backbone.*", start=freeze)] if freeze else None
    return kind(
        params,
        settings["BASE_LR"],
        weight_decay=settings["WEIGHT_DECAY"],
        grad_clip=dict(max_value=1.0),
        parameter_groups=groups,
        **own,
    )


def schedule_of(settings):
    return StepLR(
        settings["STEPS"],
        settings["GAMMA"],
        warmup=settings["WARMUP_METHOD"],
        warmup_iters=settings["WARMUP_ITERS"],
        warmup_ratio=settings["WARMUP_FACTOR"],
    )


@pytest.mark.golden
@pytest.mark.parametrize("name", ["l_optim_sgd", "l_optim_adamw"])
def test_steps_of_two_optimizers_equal_golden(name):
    meta, arrays = case(name)
    solver = meta["solver"]
    assert solver["clip"]["ENABLED"] and solver["clip"]["CLIP_VALUE"] == 1.0
    # Flat, which is the same to an optimizer: fewer kernels.
    params = {key: jt.array(values.ravel()) for key, values in fill.state_dict(meta, "model").items()}
    trained = {key for role in ("student", "teacher") for key, _ in meta[f"groups/{role}"]}
    for key, var in params.items():
        if key not in trained:
            var.stop_grad()
    shares = divided(
        params, {"student": dict(match="*", but_not="teacher.*"), "teacher": dict(match="teacher.*")}
    )
    assert set(shares["teacher"]) == {key for key, _ in meta["groups/teacher"]}
    student = optimizer_of(solver["student"], shares["student"], solver["pre_freeze"])
    teacher = optimizer_of(solver["teacher"], shares["teacher"])
    optimizers = Optimizers({"student": student, "teacher": teacher})
    schedules = {role: schedule_of(solver[role]) for role in ("student", "teacher")}
    for iteration in range(NUM_ITERATIONS):
        optimizers.follow(schedules, Progress(iteration, 0, by_epoch=False))
        np.testing.assert_allclose(list(optimizers.rates.values()), meta["lr"][iteration], rtol=1e-12)
        given = {key: fill.generate(meta["generated"][f"g/it{iteration}/{key}"]) for key in trained}
        for member in optimizers.members.values():
            member.step({key: jt.array(values.ravel()) for key, values in given.items()})
        for key, var in params.items():
            expected = arrays[f"param/it{iteration}/{key}"].ravel()
            np.testing.assert_allclose(
                var.numpy(), expected, rtol=1e-6, atol=1e-7, err_msg=f"{key}, iteration {iteration}"
            )
