"""Training states: what distillation owns is saved and found by name, and files of earlier versions."""

import numpy as np
import pytest

from jld.checkpoint import read_training_state
from jld.config import Config
from jld.errors import CheckpointError
from jld.optim import SGD, Optimizers, StepLR
from jld.runner import state as states
from jld.runner.hooks import EMAHook
from jld.runner.loop import TrainingLoop
from jld.runner.parts import trainable_parameters
from jld.toolchain import jittor as jt
from tests.runner.toys import ToyAdapter, ToyDetector, ToyDistiller, ToyLoader


class TwoTerms(ToyDistiller):
    """Two adapters of one shape, in an order of one's own."""

    def __init__(self, names):
        super().__init__()
        self.adapters = {name: ToyAdapter() for name in names}

    def __call__(self, step):
        count = step.trace.count
        self.last = (count * count).mean()
        return {
            f"loss_{name}": ((adapter(count) - k) ** 2).mean()
            for k, (name, adapter) in enumerate(sorted(self.adapters.items()))
        }

    def modules(self):
        return {f"loss_{name}.adapter": adapter for name, adapter in self.adapters.items()}


def make(distiller, hooks=(), **settings):
    detector = ToyDetector()
    optimizer = SGD(trainable_parameters(detector, distiller), 0.05, momentum=0.9)
    return TrainingLoop(
        detector, ToyLoader(2), optimizer, distiller=distiller, hooks=hooks, **settings or {"max_epoch": 1}
    )


def saved(loop, folder):
    path = folder / "last.pkl"
    states.save_state(states.collect_state(loop, Config({}), []), [path])
    return path


def test_adapters_are_found_by_name_whatever_their_order(tmp_path):
    whole = make(TwoTerms("ab"), max_epoch=2)
    whole.run()
    first = make(TwoTerms("ab"))
    first.run()
    path = saved(first, tmp_path)
    second = make(TwoTerms("ba"), max_epoch=2)
    states.resume(second, path)
    for name in "ab":
        ours, theirs = second.distiller.adapters[name], first.distiller.adapters[name]
        np.testing.assert_array_equal(ours.factor.numpy(), theirs.factor.numpy())
        assert ours.calls.numpy() == 2 and ours.calls.is_stop_grad() and not ours.factor.is_stop_grad()
    second.run()
    for name, adapter in whole.distiller.adapters.items():
        np.testing.assert_array_equal(
            second.distiller.adapters[name].factor.numpy(), adapter.factor.numpy(), err_msg=name
        )
    a, b = (whole.distiller.adapters[name].factor.numpy() for name in "ab")
    assert not np.allclose(a, b)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state["distill"].pop("loss_toy.adapter.calls"), r"lacks loss_toy\.adapter\.calls"),
        (
            lambda state: state["distill"].update({"loss_old.adapter.factor": np.ones(1, np.float32)}),
            r"has loss_old\.adapter\.factor, which this run does not",
        ),
        (
            lambda state: state["distill"].update({"loss_toy.adapter.factor": np.ones(2, np.float32)}),
            r"has loss_toy\.adapter\.factor of shape \(2,\) instead of \(1,\)",
        ),
        (
            lambda state: state["optimizer"].update(adapters=[np.ones(1, np.float32)]),
            "numbered the adapters of distillation terms instead of naming them: finish that run with",
        ),
    ],
)
def test_what_distillation_owns_must_fit(tmp_path, change, said):
    loop = make(ToyDistiller())
    state = read_training_state(saved(loop, tmp_path))
    change(state)
    path = tmp_path / "changed.pkl"
    states.save_state(state, [path])
    with pytest.raises(CheckpointError, match=said):
        states.resume(make(ToyDistiller()), path)


def test_a_file_of_an_earlier_version_without_adapters_is_resumed(tmp_path):
    whole = make(None, [EMAHook(0.5, 0)], max_epoch=2)
    whole.run()
    first = make(None, [EMAHook(0.5, 0)])
    first.run()
    state = states.collect_state(first, Config({}), [])
    state["ema"] = state.pop("hooks")["ema"]
    del state["distill"], state["optimizer"]["taken"]
    state["optimizer"]["adapters"] = []
    path = tmp_path / "last.pkl"
    states.save_state(state, [path])
    weights, kind = states.evaluated_weights(path)
    assert kind == "averaged weights"
    np.testing.assert_array_equal(weights.state["weight"], state["ema"]["state"]["weight"])
    second = make(None, [EMAHook(0.5, 0)], max_epoch=2)
    states.resume(second, path)
    second.run()
    np.testing.assert_array_equal(second.detector.weight.numpy(), whole.detector.weight.numpy())
    for ours, theirs in zip(second.hooks, whole.hooks, strict=True):
        np.testing.assert_array_equal(
            ours.state_dict()["state"]["weight"], theirs.state_dict()["state"]["weight"]
        )


def test_two_optimizers_with_schedules_of_their_own_resume_exactly(tmp_path):
    def two(max_epoch):
        detector, distiller = ToyDetector(), ToyDistiller()
        params = trainable_parameters(detector, distiller)
        factor = params.pop("distill.loss_toy.adapter.factor")
        members = {
            "student": SGD(params, 0.05, momentum=0.9),
            "terms": SGD({"distill.loss_toy.adapter.factor": factor}, 0.2, momentum=0.5),
        }
        schedule = {"terms": StepLR([1], gamma=0.1)}
        return TrainingLoop(
            detector, ToyLoader(2), Optimizers(members), schedule, distiller=distiller, max_epoch=max_epoch
        )

    whole, first, second = two(2), two(1), two(2)
    whole.run()
    first.run()
    path = saved(first, tmp_path)
    assert sorted(read_training_state(path)["optimizer"]["optimizers"]) == ["student", "terms"]
    assert read_training_state(path)["scheduler"]["terms"]["type"] == "StepLR"
    states.resume(second, path)
    second.run()
    assert second.optimizer.rates == whole.optimizer.rates == pytest.approx({"student": 0.05, "terms": 0.02})
    jt.sync_all()
    for ours, theirs in zip(second.optimizer.slots, whole.optimizer.slots, strict=True):
        np.testing.assert_array_equal(ours.param.numpy(), theirs.param.numpy(), err_msg=ours.name)
