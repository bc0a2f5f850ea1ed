"""Logs on a full disk: said once, and the training goes on; pictures; loggers that fail."""

import json
from pathlib import Path

import numpy as np
import pytest

from jld.config.validate import validate_config
from jld.errors import ConfigError
from jld.registry import build
from jld.runner.logs import JsonLines, Logger, RunLogger, TensorBoard


def test_records_of_a_full_disk_are_lost_with_one_warning(tmp_path, caplog):
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    lines = JsonLines()
    lines.open(tmp_path, True, {})
    for step in range(4):
        lines.log({"iter": step})
    lines.close()
    assert [text for text in caplog.messages if "log.jsonl" in text] == caplog.messages != []
    assert len(caplog.messages) == 1


def test_a_resumed_log_ends_the_line_that_a_kill_has_cut(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"iter": 1}\n{"iter": 2, "lo')
    lines = JsonLines()
    lines.open(tmp_path, True, {})
    lines.log({"iter": 2})
    lines.close()
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1]) == {"iter": 2}


def test_events_of_a_full_disk_do_not_stop_the_training(tmp_path, caplog):
    board = TensorBoard()
    board.open(tmp_path, False, {})
    records = board._writer.file_writer.event_writer._ev_writer._py_recordio_writer
    records._writer = Path("/dev/full").open("wb")
    for step in range(100):  # its queue holds ten
        board.log({"iter": step, "loss": 1.0})
    board.close()
    assert sum("TensorBoard" in text for text in caplog.messages) == 1


class Broken(Logger):
    """A tracker whose server is gone."""

    calls = 0
    takes_pictures = True

    def log(self, record):
        self.calls += 1
        raise OSError("no route to host")


def test_a_tracker_that_fails_costs_a_warning_and_no_training(tmp_path, caplog):
    broken = Broken()
    logger = RunLogger([broken, "TextLogger"], pictures=2)
    assert logger.pictures == 2 and RunLogger(["TextLogger"], pictures=2).pictures == 0
    logger.open(tmp_path)
    for step in (1, 2):
        logger.log({"iter": step})
    logger.close()
    assert broken.calls == 1 and len((tmp_path / "log.jsonl").read_text().splitlines()) == 2
    assert [text for text in caplog.messages if "Broken has failed" in text and "no route" in text]
    assert len(caplog.messages) == 1


def test_pictures_and_numbers_are_events(tmp_path):
    logger = build({"type": "RunLogger", "loggers": ["TensorboardLogger"], "pictures": 1})
    logger.open(tmp_path)
    size = [sum(path.stat().st_size for path in tmp_path.rglob("events*"))]
    logger.log({"iter": 1, "eval/AP": 0.5, "eta": "0:00"})
    noise = np.random.default_rng(0).integers(0, 256, (40, 50, 3)).astype(np.uint8)
    logger.log_pictures({"val/1": noise}, 1)
    logger.close()
    size.append(sum(path.stat().st_size for path in tmp_path.rglob("events*")))
    assert size[1] - size[0] > 40 * 50 * 3  # noise cannot be compressed


def test_unknown_loggers_are_refused():
    with pytest.raises(ConfigError, match="unknown logger 'TextLoger': did you mean 'TextLogger'"):
        RunLogger(["TextLoger"])


def test_a_config_may_name_loggers_or_give_their_settings(monkeypatch):
    def problems(*loggers):
        config = {"logger": {"type": "RunLogger", "loggers": list(loggers)}}
        return [text for text in validate_config(config) if "logger" in text]

    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    assert problems("TextLogger", {"type": "WandbLogger", "project": "p", "mode": "offline"}) == []
    assert "projekt" in problems({"type": "WandbLogger", "projekt": "p"})[0]
    assert problems({"type": "WandbLogger", "mode": "on"}) and problems({"type": "SGD", "lr": 1.0})
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install wandb" in problems({"type": "WandbLogger"})[0]
