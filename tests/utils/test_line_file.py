"""Lines of logs: whole ones only, whatever ended the process before, and whatever the disk does."""

from pathlib import Path

import pytest

from jld.utils.line_file import LineFile


def test_half_a_line_is_ended_before_the_next(tmp_path):
    path = tmp_path / "logs" / "log.jsonl"
    file = LineFile(path, on_loss=pytest.fail)
    file.write("one")
    file.close()
    with path.open("a") as stream:
        stream.write('{"iter": 2, "lo')
    file = LineFile(path, on_loss=pytest.fail)
    file.write("three")
    file.write("vier é")
    file.close()
    file.close()
    assert path.read_text("utf-8").splitlines() == ["one", '{"iter": 2, "lo', "three", "vier é"]


def test_a_full_disk_is_said_once_and_nothing_is_raised(tmp_path):
    said = []
    (tmp_path / "log.txt").symlink_to("/dev/full")
    file = LineFile(tmp_path / "log.txt", on_loss=said.append)
    for number in range(5):
        file.write(f"line {number}")
    file.close()
    assert len(said) == 1 and "log.txt" in said[0] and "No space left" in said[0]


def test_lines_after_a_loss_start_anew(tmp_path, monkeypatch):
    said, path = [], tmp_path / "log.txt"
    file = LineFile(path, on_loss=said.append)
    import os

    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    file.write("abcdef")
    monkeypatch.undo()
    file.write("second")
    file.close()
    assert path.read_text() == "abc\nsecond\n" and "disk is full" in said[0]


def test_what_cannot_be_opened_is_an_error_of_the_system():
    with pytest.raises(OSError):
        LineFile(Path("/dev/null/log.txt"), on_loss=pytest.fail)
