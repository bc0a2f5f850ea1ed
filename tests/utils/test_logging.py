import logging

import pytest

from jld.errors import DataError
from jld.utils.logging import close_logging, get_logger, set_up_logging, warn_once


@pytest.fixture(autouse=True)
def clean_logger(monkeypatch):
    for name in ("OMPI_COMM_WORLD_RANK", "PMI_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("jld.utils.logging._said", set())
    yield
    close_logging()


def test_messages_go_to_the_screen_and_the_file(tmp_path, capsys):
    file = tmp_path / "logs" / "train.txt"
    set_up_logging(file)
    get_logger().info("first")
    get_logger("data").warning("second")
    get_logger().debug("hidden")
    close_logging()
    lines = file.read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["INFO first", "WARNING second"]
    assert capsys.readouterr().err.splitlines() == lines


def test_setting_up_again_replaces_and_appends(tmp_path, capsys):
    file = tmp_path / "train.txt"
    for text in ("a", "b"):
        set_up_logging(file)
        get_logger().info(text)
    close_logging()
    assert len(file.read_text().splitlines()) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_what_is_said_before_the_file_is_open_comes_first_in_it(tmp_path):
    for text in ("of the config", "of the folder"):
        set_up_logging()
        get_logger().warning(text)
    for name in ("first.txt", "second.txt"):
        set_up_logging(tmp_path / name)
        get_logger().info("of the run")
    close_logging()
    lines = [line.split(" ", 3)[3] for line in (tmp_path / "first.txt").read_text().splitlines()]
    assert lines == ["of the config", "of the folder", "of the run"]
    assert len((tmp_path / "second.txt").read_text().splitlines()) == 1


def test_other_ranks_keep_errors_only_and_write_no_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", "1")
    set_up_logging(tmp_path / "train.txt", "DEBUG")
    get_logger().info("hidden")
    warn_once("hidden too")
    get_logger().error("shown")
    assert "hidden" not in (text := capsys.readouterr().err) and "shown" in text
    assert not (tmp_path / "train.txt").exists()


def test_a_library_user_keeps_control(caplog):
    with caplog.at_level(logging.INFO):
        get_logger("x").info("through the root logger")
    assert caplog.messages == ["through the root logger"]
    assert get_logger().handlers == [] and get_logger("x").name == "jld.x"


def test_warn_once(caplog):
    for _ in range(2):
        warn_once("same")
    warn_once("other words", key="k")
    warn_once("yet other words", key="k")
    assert caplog.messages == ["same", "other words"]


def test_percent_signs_are_text(caplog):
    warn_once("100 %d done")
    assert caplog.messages == ["100 %d done"]


def test_control_characters_of_names_are_spelled_out(tmp_path, capsys):
    log = set_up_logging(tmp_path / "log.txt")
    log.warning("image %s\nsecond line\tof the message", "a\x1b[2Kb\rc\u202ed.png")
    close_logging()
    text = (tmp_path / "log.txt").read_text("utf-8")
    assert "a\\x1b[2Kb\\rc\\u202ed.png\nsecond line\tof" in text
    assert "\x1b" not in capsys.readouterr().err


def test_a_log_on_a_full_disk_is_said_once(tmp_path, capsys):
    (tmp_path / "log.txt").symlink_to("/dev/full")
    log = set_up_logging(tmp_path / "log.txt")
    for _ in range(3):
        log.warning("still running")
    close_logging()
    shown = capsys.readouterr().err
    assert shown.count("log.txt cannot be written") == 1 and shown.count("still running") == 3
    assert "Traceback" not in shown


def test_messages_of_errors_show_no_control_characters():
    message = str(DataError("image a\x1b[1Ab\x07.png\nand the next"))
    assert message == "image a\\x1b[1Ab\\x07.png\nand the next"
