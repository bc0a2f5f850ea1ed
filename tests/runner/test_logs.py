"""Logs on a full disk: said once, and the training goes on."""

import json
from pathlib import Path

from jld.runner.logs import JsonLines, TensorBoard


def test_records_of_a_full_disk_are_lost_with_one_warning(tmp_path, caplog):
    (tmp_path / "log.jsonl").symlink_to("/dev/full")
    lines = JsonLines(tmp_path, keep_old=True)
    for step in range(4):
        lines.log({"iter": step})
    lines.close()
    assert [text for text in caplog.messages if "log.jsonl" in text] == caplog.messages != []
    assert len(caplog.messages) == 1


def test_a_resumed_log_ends_the_line_that_a_kill_has_cut(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"iter": 1}\n{"iter": 2, "lo')
    lines = JsonLines(tmp_path, keep_old=True)
    lines.log({"iter": 2})
    lines.close()
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1]) == {"iter": 2}


def test_events_of_a_full_disk_do_not_stop_the_training(tmp_path, caplog):
    board = TensorBoard(tmp_path, keep_old=False)
    records = board._writer.file_writer.event_writer._ev_writer._py_recordio_writer
    records._writer = Path("/dev/full").open("wb")
    for step in range(100):  # its queue holds ten
        board.log({"iter": step, "loss": 1.0})
    board.close()
    assert sum("TensorBoard" in text for text in caplog.messages) == 1
