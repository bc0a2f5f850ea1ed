"""The loop: order of data and hooks, accumulation, the stop on losses that are not finite, checkpoints."""

import json

import numpy as np
import pytest

from jld.checkpoint import read_training_state
from jld.config import Config
from jld.errors import CheckpointError, TrainingError
from jld.optim import SGD, Optimizers
from jld.runner import state as states
from jld.runner.history import LossHistory, total_loss
from jld.runner.hooks import CheckpointHook, EMAHook, EvaluationHook, Hook, LogHook
from jld.runner.logs import RunLogger
from jld.runner.loop import TrainingLoop
from jld.runner.parts import trainable_parameters
from jld.toolchain import jittor as jt
from tests.runner.toys import ToyDetector, ToyDistiller, ToyLoader


def make(loader=None, *, distiller=None, lr=0.05, **settings):
    detector = ToyDetector()
    settings = settings or {"max_epoch": 1}
    return TrainingLoop(
        detector,
        loader or ToyLoader(),
        SGD(dict(detector.named_parameters()), lr),
        distiller=distiller,
        **settings,
    )


class Recorder(Hook):
    def __init__(self):
        self.seen = []

    def before_training(self, loop):
        self.seen.append("start")

    def before_epoch(self, loop):
        self.seen.append(f"begin {loop.epoch + 1}")

    def before_step(self, loop):
        self.seen.append(f"step {loop.iteration}")

    def after_step(self, loop):
        self.seen.append(loop.iteration)

    def after_epoch(self, loop):
        self.seen.append(f"epoch {loop.epoch}")

    def after_training(self, loop):
        self.seen.append("end")


def test_epochs_and_hooks_in_order():
    recorder = Recorder()
    loop = make(ToyLoader(2), max_epoch=2, hooks=[recorder])
    loop.run()
    first, second = (
        ["begin 1", "step 0", 1, "step 1", 2, "epoch 1"],
        ["begin 2", "step 2", 3, "step 3", 4, "epoch 2"],
    )
    assert recorder.seen == ["start", *first, *second, "end"]
    assert loop.loader.served == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert loop.images_seen == 8


def test_iterations_end_in_the_middle_of_an_epoch():
    recorder = Recorder()
    loop = make(ToyLoader(2), max_iter=3, hooks=[recorder])
    loop.run()
    assert recorder.seen[-5:] == ["epoch 1", "begin 2", "step 2", 3, "end"]
    assert (loop.epoch, loop.batch_index, loop.total_steps) == (1, 1, 3)
    with pytest.raises(ValueError, match="one of the two"):
        make(max_epoch=1, max_iter=1)


def test_accumulation_averages_batches_and_counts_steps():
    loop = make(ToyLoader(3), max_epoch=1, accumulate_steps=2)
    assert loop.steps_per_epoch == 2
    # The noise of the toy makes equal draws hard to arrange by hand: compare gradients without it.
    loop.detector.losses = lambda trace, targets: {"loss": ((trace.count - targets.mask.sum(1)) ** 2).mean()}
    start = loop.detector.weight.numpy().copy()
    seen = []
    loop.hooks = [
        type(
            "See", (Hook,), {"after_step": lambda _, loop: seen.append(loop.detector.weight.numpy().copy())}
        )()
    ]
    loop.run()
    batches = list(ToyLoader(3).epoch(0))
    weight = start
    for group, after in zip((batches[:2], batches[2:]), seen, strict=True):
        grads = []
        for batch in group:
            means, counts = batch["images"].mean((2, 3)), batch["box_mask"].sum(1)
            grads.append((2 * (means @ weight - counts)[:, None] * means).mean(0))
        weight = weight - 0.05 * np.mean(grads, 0)
        np.testing.assert_allclose(after, weight, rtol=1e-5, atol=1e-6)
    assert loop.iteration == 2


def test_distiller_losses_join_and_adapters_train():
    distiller = ToyDistiller()
    loop = make(ToyLoader(1), distiller=distiller)
    loop.optimizer = Optimizers(SGD(trainable_parameters(loop.detector, distiller), 0.1))
    before = distiller.adapter.factor.numpy().copy()
    loop.run()
    loop.history.fetch()
    values = loop.history.records[0].values
    parts = ("loss_count", "loss_noise", "loss_toy")
    assert set(values) == {"total_loss", *parts}
    assert values["total_loss"] == pytest.approx(sum(values[name] for name in parts), rel=1e-5)
    assert not np.array_equal(before, distiller.adapter.factor.numpy())
    assert set(trainable_parameters(loop.detector, distiller)) >= {
        "weight",
        "distill.loss_toy.adapter.factor",
    }


def test_no_graph_outlives_a_step():
    loop = make(ToyLoader(40), distiller=ToyDistiller())
    counts = []

    class Count(Hook):
        def after_step(self, loop):
            counts.append(jt.number_of_lived_vars())

    loop.hooks = [Count()]
    loop.run()
    # Each step may leave its loss values (four scalars) for the log, and nothing else.
    growth = (counts[-1] - counts[10]) / (len(counts) - 11)
    assert growth <= 4, counts


def test_a_loss_that_is_not_finite_stops_training(tmp_path):
    logger = RunLogger(["TextLogger"])
    logger.open(tmp_path)
    saved = CheckpointHook(tmp_path, lambda loop: pytest.fail("a checkpoint was written"))
    loop = make(ToyLoader(6, bad_batch=(0, 1)), max_epoch=1, history=LossHistory("work/config.py"))
    loop.hooks = [LogHook(logger, 4), saved]
    with pytest.raises(TrainingError) as stop:
        loop.run()
    assert loop.iteration == 4
    text = str(stop.value)
    for part in (
        "iteration 2",
        "loss_count=nan",
        "epoch0_image2.jpg, epoch0_image3.jpg",
        "work/config.py",
        "grad_clip",
    ):
        assert part in text, text


def test_a_bad_last_step_is_found_before_the_checkpoint(tmp_path):
    loop = make(ToyLoader(3, bad_batch=(0, 2)), max_epoch=1)
    loop.hooks = [
        LogHook(RunLogger([]), 0),
        CheckpointHook(tmp_path, lambda loop: pytest.fail("a checkpoint was written")),
    ]
    with pytest.raises(TrainingError, match="iteration 3"):
        loop.run()


def test_a_term_that_gives_nothing_for_long_is_named_once(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("jld.runner.hooks.SILENT_STEPS", 4)
    distiller = ToyDistiller("loss_silent")
    monkeypatch.setattr(ToyDistiller, "__call__", lambda self, step: {self.term: 0 * step.trace.count.sum()})
    monkeypatch.setattr(distiller, "log_values", dict)
    loop = make(ToyLoader(8), distiller=distiller, max_epoch=1)
    loop.hooks = [LogHook(RunLogger([]), 2)]
    loop.run()
    said = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(said) == 1 and "steps: its region holds no place of these images" in said[0]


def test_log_records(tmp_path):
    logger = RunLogger()
    logger.open(tmp_path)
    distiller = ToyDistiller()
    loop = make(ToyLoader(4), distiller=distiller, max_epoch=1)
    loop.hooks = [LogHook(logger, 2)]
    loop.run()
    logger.close()
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["iter"] for line in lines] == [2, 4]
    assert lines[0]["epoch"] == 1
    assert lines[0]["lr"] == 0.05
    assert lines[1]["eta"] == "0:00:00"
    assert {"time", "total_loss", "loss_count", "loss_toy", "distill/raw", "images_per_second"} <= set(
        lines[0]
    )
    assert list((tmp_path / "tensorboard").glob("events*"))
    # A new run keeps the old log aside; a resumed one goes on in it.
    RunLogger(["TextLogger"]).open(tmp_path, keep_old=True)
    assert not (tmp_path / "log.1.jsonl").exists()
    RunLogger(["TextLogger"]).open(tmp_path)
    assert len((tmp_path / "log.1.jsonl").read_text().splitlines()) == 2
    assert (tmp_path / "log.jsonl").read_text() == ""


def test_evaluation_remembers_and_saves_the_best(tmp_path):
    scores = iter([0.2, 0.5, 0.4])
    weights = []
    loop = make(ToyLoader(1), max_epoch=3)

    def evaluate():
        weights.append(loop.detector.weight.numpy().copy())
        loop.detector.eval()
        return {"AR": 0.9, "AP": next(scores), "protocol": "toy", "per_class": {}}

    logger = RunLogger(["TextLogger"])
    logger.open(tmp_path)
    collect = lambda loop: states.collect_state(loop, Config({}), ["thing"])  # noqa: E731
    loop.hooks = [
        EMAHook(decay=0.5, warmup_iters=0),
        EvaluationHook(evaluate, logger, 1),
        CheckpointHook(tmp_path, collect, keep=2),
    ]
    loop.run()
    assert loop.best == {"name": "AP", "value": 0.5, "iteration": 2}
    assert read_training_state(tmp_path / "best.pkl")["meta"]["epoch"] == 2
    assert read_training_state(tmp_path / "last.pkl")["meta"]["best"]["value"] == 0.5
    assert sorted(path.name for path in tmp_path.glob("*.pkl")) == [
        "best.pkl",
        "epoch_2.pkl",
        "epoch_3.pkl",
        "last.pkl",
    ]
    logged = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["eval/AP"] for line in logged] == [0.2, 0.5, 0.4]
    # The average is what is evaluated and what a checkpoint offers for evaluation.
    average, kind = states.evaluated_weights(tmp_path / "last.pkl")
    np.testing.assert_array_equal(average.state["weight"], weights[-1])
    assert kind == "averaged weights"
    plain = read_training_state(tmp_path / "last.pkl")["model"]
    np.testing.assert_array_equal(plain["weight"], loop.detector.weight.numpy())
    assert not np.array_equal(plain["weight"], average.state["weight"])


def test_longer_training_continues_from_a_finished_one(tmp_path):
    loop = make(ToyLoader(2), max_epoch=1)
    loop.run()
    states.save_state(states.collect_state(loop, Config({}), []), [tmp_path / "last.pkl"])
    longer = make(ToyLoader(2), max_epoch=2, seed=5)
    said = states.resume(longer, tmp_path / "last.pkl")
    assert "the seed was 0 and is 5 now" in said
    longer.run()
    assert (longer.epoch, longer.iteration) == (2, 4)
    assert longer.loader.served == [(1, 0), (1, 1)]


def test_resume_names_what_does_not_fit(tmp_path):
    loop = make(ToyLoader(1), max_epoch=1)
    state = states.collect_state(loop, Config({}), [])
    path = tmp_path / "last.pkl"
    states.save_state(state, [path])
    with pytest.raises(
        CheckpointError, match=r"lacks loss_toy\.adapter\.factor; lacks loss_toy\.adapter\.calls\. R"
    ):
        states.resume(make(distiller=ToyDistiller()), path)
    states.save_state({"meta": state["meta"], "model": state["model"]}, [path])
    with pytest.raises(CheckpointError, match="use it as pretrained_weights"):
        states.resume(make(), path)


def test_several_names_are_one_state(tmp_path):
    loop = make(ToyLoader(1), max_epoch=1)
    states.save_state(
        states.collect_state(loop, Config({}), []), [tmp_path / "last.pkl", tmp_path / "epoch_1.pkl"]
    )
    kept = (tmp_path / "epoch_1.pkl").read_bytes()
    loop.run()
    states.save_state(states.collect_state(loop, Config({}), []), [tmp_path / "last.pkl"])
    assert (tmp_path / "epoch_1.pkl").read_bytes() == kept
    assert (tmp_path / "last.pkl").read_bytes() != kept


def test_nothing_to_train_on_is_said():
    with pytest.raises(TrainingError, match="returned no loss"):
        total_loss({})
