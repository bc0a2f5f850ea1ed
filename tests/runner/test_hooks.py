"""Hooks: their state by name, epochs that begin once, the metric that decides, averaged weights."""

import numpy as np
import pytest

from jld.config import Config
from jld.errors import ConfigError
from jld.optim import SGD
from jld.runner import EarlyStopping
from jld.runner import state as states
from jld.runner.hooks import EMAHook, EvaluationHook, Hook, LogHook
from jld.runner.logs import RunLogger
from jld.runner.loop import TrainingLoop
from jld.runner.runner import already_finished
from tests.runner.toys import ToyDetector, ToyDistiller, ToyLoader


class Prototypes(Hook):
    """Draws a number for each epoch, as a hook that looks through the dataset would compute one."""

    def __init__(self, name="Prototypes"):
        self._name = name
        self.value, self.used, self.seen = None, [], []

    @property
    def name(self):
        return self._name

    def before_epoch(self, loop):
        self.value = np.float32(loop.detector.weight.numpy().sum() + loop.dataset["offset"])
        self.seen.append((loop.epoch, loop.iteration))

    def before_step(self, loop):
        self.used.append((loop.iteration, float(self.value)))

    def state_dict(self):
        return {"value": self.value}

    def load_state_dict(self, state):
        self.value = state["value"]


def make(*hooks, max_epoch=2, **settings):
    detector, loader = ToyDetector(), ToyLoader(3)
    loader.dataset = {"offset": 100.0}
    lengths = settings if "max_iter" in settings else {"max_epoch": max_epoch, **settings}
    optimizer = SGD(dict(detector.named_parameters()), 0.05, momentum=0.9)
    return TrainingLoop(detector, loader, optimizer, hooks=hooks, **lengths)


def saved(loop, folder):
    path = folder / "last.pkl"
    states.save_state(states.collect_state(loop, Config({}), []), [path])
    return path


def test_a_run_resumed_within_an_epoch_uses_what_was_made_before_it(tmp_path):
    whole, first, second = Prototypes(), Prototypes(), Prototypes()
    make(whole, max_iter=6).run()
    begun = make(first, max_iter=4)
    begun.run()
    resumed = make(second, max_iter=6)
    states.resume(resumed, saved(begun, tmp_path))
    resumed.run()
    assert whole.seen == first.seen == [(0, 0), (1, 3)] and second.seen == []
    assert first.used + second.used == whole.used
    assert len({value for _, value in whole.used}) == 2


def test_states_find_their_hooks_by_name(tmp_path):
    a, b = Prototypes("a"), Prototypes("b")
    loop = make(a, b, max_epoch=1)
    loop.run()
    a.value, b.value = np.float32(1), np.float32(2)
    path = saved(loop, tmp_path)
    c, d = Prototypes("b"), Prototypes("c")
    said = states.resume(make(c, d), path)
    assert (c.value, d.value) == (2, None)
    assert "the state of the hook 'a' is left out" in said
    assert "it has no state of the hook 'c', which starts anew" in said


def test_two_hooks_of_one_name_are_refused_before_training():
    loop = make(Prototypes(), Prototypes())
    with pytest.raises(ConfigError, match="two hooks with a state are called 'Prototypes'"):
        loop.run()
    assert loop.iteration == 0
    make(Hook(), Hook(), max_epoch=1).run()  # without a state, names do not matter


def test_the_number_that_decides_is_named():
    values = iter([{"AR": 0.1, "AP50": 0.9, "AP": 0.1}, {"AR": 0.9, "AP50": 0.5, "AP": 0.2}])
    loop = make()
    loop.hooks = [EvaluationHook(lambda: next(values), RunLogger([]), 1, "AP50")]
    loop.run()
    assert loop.best == {"name": "AP50", "value": 0.9, "iteration": 3}
    resumed = make()
    resumed.best = loop.best
    resumed.hooks = [EvaluationHook(lambda: {"AP": 0.3, "AP50": 0.4}, RunLogger([]), 1, "AP")]
    resumed.run()
    assert resumed.best["name"] == "AP" and resumed.best["value"] == 0.3  # not compared with an AP50
    evaluate = lambda: {"AR": 0.5, "AP50": 0.9, "protocol": "toy"}  # noqa: E731
    loop = make()
    loop.hooks = [EvaluationHook(evaluate, RunLogger([]), 1)]
    with pytest.raises(ConfigError, match=r"best_metric is 'AP', .* use one of AR, AP50\."):
        loop.run()


def test_averaged_weights_go_on_where_they_were_saved(tmp_path):
    whole, first, second = (EMAHook(decay=0.5, warmup_iters=0) for _ in range(3))
    make(whole).run()
    begun = make(first, max_epoch=1)
    begun.run()
    path = saved(begun, tmp_path)
    weights, kind = states.evaluated_weights(path)
    np.testing.assert_array_equal(weights.state["weight"], first.state_dict()["state"]["weight"])
    assert kind == "averaged weights"
    resumed = make(second)
    states.resume(resumed, path)
    resumed.run()
    expected = whole.state_dict()["state"]["weight"]
    np.testing.assert_array_equal(second.state_dict()["state"]["weight"], expected)
    assert not np.array_equal(expected, resumed.detector.weight.numpy())
    resumed.run()  # nothing is left to do, and the average stays
    np.testing.assert_array_equal(second.state_dict()["state"]["weight"], expected)


def test_there_is_no_average_before_the_training():
    with pytest.raises(ValueError, match="no average before"):
        EMAHook().evaluating(make())


def test_steps_are_counted_from_0():
    distiller = ToyDistiller()
    loop = make(max_epoch=1)
    loop.distiller = distiller
    loop.losses_of(next(ToyLoader(1).epoch(0)))  # outside of a step: that of the one to come
    loop.run()
    loop.losses_of(next(ToyLoader(1).epoch(0)))
    assert distiller.steps == [0, 0, 1, 2, 3]
    assert [record.iteration for record in loop.history.records] == [1, 2, 3]


def stopped_early(scores, patience=2, min_delta=0.0, **lengths):
    values = iter(scores)
    hook = EarlyStopping(patience, min_delta)
    loop = make(**{"max_epoch": 9, **lengths})
    loop.hooks = [EvaluationHook(lambda: {"AP": next(values)}, RunLogger([]), 1), hook]
    return loop, hook


def test_a_training_that_gets_no_better_ends_early(tmp_path, caplog):
    caplog.set_level("INFO")
    loop, _ = stopped_early([0.1, 0.3, 0.3, 0.2, 0.9])
    loop.run()
    assert (loop.epoch, loop.best["value"]) == (4, 0.3) and loop.is_finished and not loop.is_at_length
    assert (
        "AP was 0.3000 at iteration 6 and not better in 2 evaluations: the training ends early" in caplog.text
    )
    small_steps, _ = stopped_early([0.10, 0.11, 0.12, 0.13], min_delta=0.05)
    small_steps.run()
    assert small_steps.epoch == 3 and small_steps.best["value"] == 0.12


def test_a_resumed_training_counts_on_and_a_larger_patience_goes_on(tmp_path):
    first, _ = stopped_early([0.3, 0.2], max_epoch=2)
    first.run()
    second, hook = stopped_early([0.1, 0.9])
    states.resume(second, saved(first, tmp_path))
    assert not second.is_finished
    second.run()
    assert second.epoch == 3 and hook.is_done
    path = saved(second, tmp_path)
    again, patient = stopped_early([]), stopped_early([0.9, 0.1, 0.1, 0.1], patience=3)
    states.resume(again[0], path)
    assert again[0].is_finished and "patience of EarlyStopping" in already_finished(again[0])
    states.resume(patient[0], path)
    assert not patient[0].is_finished
    patient[0].run()
    assert patient[0].epoch == 7


def test_early_stopping_needs_evaluations():
    with pytest.raises(ConfigError, match="needs evaluations within the training"):
        make(EarlyStopping()).run()
    with pytest.raises(ConfigError, match="got 0 and 0"):
        EarlyStopping(0)


class Clock:
    """Time that passes by what the steps are said to take."""

    def __init__(self, monkeypatch, seconds):
        self.now, self.seconds = 0.0, iter(seconds)
        monkeypatch.setattr("jld.runner.hooks.time.perf_counter", lambda: self.now)

    def hook(self):
        hook = Hook()
        hook.before_step = lambda loop: self.__dict__.update(now=self.now + next(self.seconds))
        return hook


def test_compilation_does_not_count_in_the_time_left(monkeypatch):
    records = []
    logger = RunLogger([])
    logger.log = records.append
    clock = Clock(monkeypatch, [100, 50, 1, 1, 2, 2, 2, 2])
    make(clock.hook(), LogHook(logger, 4), max_iter=8).run()
    assert [record["eta"] for record in records] == ["0:00:04", "0:00:00"]
    assert [record["images_per_second"] for record in records] == [pytest.approx(2), pytest.approx(1)]
    records.clear()
    clock = Clock(monkeypatch, [100, 3, 3])
    make(clock.hook(), LogHook(logger, 1), max_iter=3).run()
    assert [record["eta"] for record in records] == ["unknown", "0:00:03", "0:00:00"]
