"""Stops by signal and what is gone on from afterwards: digit for digit, from the newest sound file."""

import os
import signal
from functools import partial

import numpy as np
import pytest

from jld.checkpoint import read_training_state
from jld.config import Config
from jld.errors import CheckpointError, ConfigError
from jld.optim import SGD
from jld.runner.going_on import chosen_checkpoint, resume_file, resume_newest, run_config, why_best
from jld.runner.hooks import CheckpointHook, Hook
from jld.runner.loop import TrainingLoop
from jld.runner.state import collect_state
from jld.utils import stopping
from tests.runner.toys import ToyDetector, ToyLoader

BATCHES, EPOCHS = 3, 3


def make(folder, *hooks, **settings):
    detector = ToyDetector()
    optimizer = SGD(dict(detector.named_parameters()), 0.05, momentum=0.9)
    loop = TrainingLoop(detector, ToyLoader(BATCHES), optimizer, **({"max_epoch": EPOCHS} | settings))
    collect = partial(collect_state, config=Config({}), classes=["a"])
    loop.hooks = [*hooks, CheckpointHook(folder, collect)]
    return loop


class Sender(Hook):
    """Sends a signal after a step or after an epoch, as an evaluation would meet it."""

    def __init__(self, step=None, epoch=None, number=signal.SIGTERM):
        self.step, self.epoch, self.number, self.epochs = step, epoch, number, []

    def after_step(self, loop):
        if loop.iteration == self.step:
            os.kill(os.getpid(), self.number)

    def after_epoch(self, loop):
        if loop.epoch == self.epoch:
            os.kill(os.getpid(), self.number)
            stopping.poll()
        self.epochs.append(loop.epoch)


def run(loop):
    with stopping.handled(), stopping.saved_when_stopped(partial(loop.hooks[-1].save_when_stopped, loop)):
        loop.run()


def weights(folder):
    return read_training_state(folder / "last.pkl")["model"]["weight"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run(make(folder))
    return folder


@pytest.mark.parametrize("accumulate_steps", [1, 2])
@pytest.mark.parametrize("step", [1, 2, 3, 5])
def test_a_stopped_run_goes_on_digit_for_digit(tmp_path, step, accumulate_steps, caplog):
    (tmp_path / "whole").mkdir()
    run(make(tmp_path / "whole", accumulate_steps=accumulate_steps))
    with pytest.raises(stopping.Stopped) as caught:
        run(make(tmp_path, Sender(step=step), accumulate_steps=accumulate_steps))
    assert caught.value.code == 143 and "go on with --resume" in caplog.text
    assert read_training_state(tmp_path / "last.pkl")["meta"]["iter"] == step
    recorder = Sender()
    loop = make(tmp_path, recorder, accumulate_steps=accumulate_steps)
    resume_newest(loop, tmp_path)
    run(loop)
    assert recorder.epochs == [epoch for epoch in (1, 2, 3) if epoch > (step - 1) // loop.steps_per_epoch]
    np.testing.assert_array_equal(weights(tmp_path), weights(tmp_path / "whole"))


def test_an_epoch_whose_end_was_broken_off_ends_once_more(tmp_path, whole):
    with pytest.raises(stopping.Stopped):
        run(make(tmp_path, Sender(epoch=2)))
    recorder = Sender()
    loop = make(tmp_path, recorder)
    said = resume_newest(loop, tmp_path)
    assert "epoch 1, batch 3, iteration 6" in said
    run(loop)
    assert recorder.epochs == [2, 3] and loop.iteration == BATCHES * EPOCHS
    np.testing.assert_array_equal(weights(tmp_path), weights(whole))


class Breaker(Hook):
    """A compiler that the same signal ends in the middle of a step."""

    def after_step(self, loop):
        if loop.iteration == 4:
            loop.losses_of = self.fail

    def fail(self, batch):
        os.kill(os.getpid(), signal.SIGINT)
        raise RuntimeError("compiler killed")


def test_half_a_step_is_not_saved(tmp_path, caplog):
    with pytest.raises(stopping.Stopped):
        run(make(tmp_path, Breaker()))
    assert read_training_state(tmp_path / "last.pkl")["meta"]["iter"] == 3  # of the end of the first epoch
    assert "step was broken off" in caplog.text


def damage(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.unlink()  # the name may share its content with another
    path.write_bytes(data)


def copy_of(whole, folder):
    for path in whole.glob("*.pkl"):
        (folder / path.name).write_bytes(path.read_bytes())
    return folder


def test_a_damaged_file_is_named_and_the_newest_sound_one_taken(tmp_path, whole, caplog):
    copy_of(whole, tmp_path)
    damage(tmp_path / "last.pkl")
    damage(tmp_path / "epoch_3.pkl")
    said = resume_newest(make(tmp_path), tmp_path)
    assert "epoch_2.pkl at epoch 2" in said
    assert "last.pkl" in caplog.text and "epoch_3.pkl" in caplog.text
    with pytest.raises(CheckpointError, match=r"last\.pkl.*newest sound .*epoch_2\.pkl"):
        resume_file(make(tmp_path), tmp_path / "last.pkl")


def test_a_missing_last_file_is_replaced_by_the_newest_epoch(tmp_path, whole, caplog):
    copy_of(whole, tmp_path)
    (tmp_path / "last.pkl").unlink()
    assert "epoch_3.pkl" in resume_newest(make(tmp_path), tmp_path)
    assert "there is no" in caplog.text
    assert resume_newest(make(tmp_path), tmp_path / "none") is None


def test_where_no_file_is_sound_nothing_starts(tmp_path, whole):
    copy_of(whole, tmp_path)
    for path in tmp_path.glob("*.pkl"):
        damage(path)
    with pytest.raises(CheckpointError, match=r"no checkpoint in .* can be read \(last\.pkl, epoch_3\.pkl"):
        resume_newest(make(tmp_path), tmp_path)


def test_the_best_weights_are_looked_at_unless_others_are_named(tmp_path):
    config = {"work_dir": str(tmp_path), "resume_path": None, "pretrained_weights": None}
    with pytest.raises(ConfigError, match=r"no weights to run: .*last\.pkl does not exist; train first"):
        chosen_checkpoint(config)
    assert chosen_checkpoint({**config, "pretrained_weights": "r50.pth"}).name == "r50.pth"
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    (folder / "last.pkl").touch()
    assert chosen_checkpoint(config) == folder / "last.pkl"
    with pytest.raises(ConfigError, match=r"--checkpoint best: there is no .*best\.pkl"):
        chosen_checkpoint(config, "best")
    (folder / "best.pkl").touch()
    assert chosen_checkpoint(config) == chosen_checkpoint(config, "best") == folder / "best.pkl"
    assert chosen_checkpoint(config, "last") == folder / "last.pkl"
    assert chosen_checkpoint(config, "a/b.pth").name == "b.pth"
    assert chosen_checkpoint({**config, "resume_path": "other.pkl"}).name == "other.pkl"
    meta = {"best": {"name": "AP", "value": 0.25, "iteration": 6}}
    assert "the best of this run (AP 0.2500 on dataset.val)" in why_best(folder / "best.pkl", meta)
    assert why_best(folder / "last.pkl", meta) == why_best(folder / "best.pkl", {}) == ""


def test_a_runs_folder_is_its_work_dir_wherever_it_has_been_moved(tmp_path):
    there = tmp_path / "it's moved: 1"
    there.mkdir()
    keys = {"_base_": "gfl_r18_1x_coco", "work_dir": "first", "resume_path": "other.pkl"}
    (there / "config.py").write_text("".join(f"{key} = {value!r}\n" for key, value in keys.items()))
    config = run_config(there)
    assert (config.work_dir, config.resume_path) == (str(there), None)
    assert run_config(there, ["work_dir=third", "resume_path=a.pkl"]).work_dir == "third"
    assert run_config(there / "config.py").work_dir == "first"
