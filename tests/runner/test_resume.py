"""A killed run that is resumed goes on digit for digit."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jld.checkpoint import read_training_state

SCRIPT = Path(__file__).with_name("toy_run.py")
TIMING = ("time", "images_per_second", "eta")


KILLED = 128 + signal.SIGKILL
# Jittor ends a process one of whose children is killed, so a shell stands between this one and the run.
IN_SHELL = ("sh", "-c", '"$@"; echo "exit $?" >&2', "sh")


def toy_run(work_dir, *flags):
    """(exit code, what it said) of a run in a process of its own."""
    command = [*IN_SHELL, sys.executable, str(SCRIPT), str(work_dir), *flags]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    text, _, code = said.rstrip().rpartition("exit ")
    return int(code), text


def records(work_dir):
    lines = (work_dir / "log.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key not in TIMING} for line in lines]


def flat(value, path=""):
    if isinstance(value, dict):
        return {k: v for key, item in value.items() for k, v in flat(item, f"{path}/{key}").items()}
    if isinstance(value, list | tuple):
        return {k: v for index, item in enumerate(value) for k, v in flat(item, f"{path}/{index}").items()}
    return {path: value}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    work_dir = tmp_path_factory.mktemp("whole")
    code, said = toy_run(work_dir)
    assert code == 0, said[-2000:]
    return work_dir


def assert_same_run(work_dir, whole):
    """Every record of the resumed run equals that of the run that was never stopped, and so does the end."""
    expected = {record["iter"]: record for record in records(whole)}
    assert sorted(expected) == [3, 6, 9, 12, 15]
    found = records(work_dir)
    assert {record["iter"] for record in found} == set(expected)
    for record in found:
        assert record == expected[record["iter"]]
    ours = flat(read_training_state(work_dir / "checkpoints" / "last.pkl"))
    theirs = flat(read_training_state(whole / "checkpoints" / "last.pkl"))
    assert ours.keys() == theirs.keys()
    for key, value in ours.items():
        if key != "/meta/save_time":
            assert np.array_equal(value, theirs[key]), key


def test_killed_in_the_middle_of_an_epoch(tmp_path, whole):
    # Iteration 8 is the third of the second epoch; its own checkpoint is not written any more.
    assert toy_run(tmp_path, "--kill-at", "8")[0] == KILLED
    assert read_training_state(tmp_path / "checkpoints" / "last.pkl")["meta"]["iter"] == 6
    code, said = toy_run(tmp_path, "--resume")
    assert code == 0, said[-2000:]
    assert "epoch 1, batch 1, iteration 6" in said
    assert_same_run(tmp_path, whole)


def test_killed_while_a_checkpoint_is_written(tmp_path, whole):
    assert toy_run(tmp_path, "--kill-in-write", "3")[0] == KILLED
    # Iterations 2, 4 and the end of the first epoch at 5 save; the third write died, the second is whole. The
    # interval of the log (3 steps) is cut in two by it.
    assert read_training_state(tmp_path / "checkpoints" / "last.pkl")["meta"]["iter"] == 4
    code, said = toy_run(tmp_path, "--resume")
    assert code == 0, said[-2000:]
    assert_same_run(tmp_path, whole)


def test_state_holds_what_jdet_expects_and_what_it_lacks(whole):
    state = read_training_state(whole / "checkpoints" / "epoch_2.pkl")
    assert state["meta"]["epoch"] == 2
    assert state["meta"]["iter"] == 10
    assert state["meta"]["classes"] == ["thing"]
    assert sorted(state["model"]) == ["frozen", "weight"]
    assert sorted(state["optimizer"]["state"]) == ["distill.loss_toy.adapter.factor", "weight"]
    assert sorted(state["distill"]) == ["loss_toy.adapter.calls", "loss_toy.adapter.factor"]
    assert state["distill"]["loss_toy.adapter.calls"] == [10]
    assert state["hooks"]["ema"]["num_updates"] == 10
    assert sorted(path.name for path in (whole / "checkpoints").iterdir()) == [
        "epoch_1.pkl",
        "epoch_2.pkl",
        "epoch_3.pkl",
        "last.pkl",
    ]
