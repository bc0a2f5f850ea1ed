"""One run at a time in a work_dir; other runs' files are left alone."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jld.errors import ConfigError
from jld.runner.work_folder import OwnCheckpoints, work_folder

ROOT = Path(__file__).parents[2]


def held(path):
    with work_folder(path, {}, resumed=False):
        pass


HOLD = """
import sys
from pathlib import Path
from jld.runner.work_folder import work_folder
with work_folder(Path(sys.argv[1]), {}, resumed=False):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_refused_until_the_first_is_gone_however_it_went(tmp_path):
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout.readline() == "held\n"
    with pytest.raises(ConfigError, match=rf"another run is alive in work_dir .*process {first.pid} on "):
        held(tmp_path)
    first.send_signal(signal.SIGKILL)
    first.wait()
    held(tmp_path)
    assert not (tmp_path / "run.lock").exists()


def test_a_lock_that_its_owner_removes_just_then_is_refused_all_the_same(tmp_path, monkeypatch):
    def held_and_removed(path):
        raise BlockingIOError

    monkeypatch.setattr("jld.runner.work_folder._lock", held_and_removed)
    with pytest.raises(ConfigError, match=r"another run is alive in work_dir .*: another process"):
        held(tmp_path)


def test_temporaries_of_killed_runs_go_and_other_files_stay(tmp_path):
    saved = tmp_path / "checkpoints"
    saved.mkdir()
    stale = [
        ".config.py.412",
        ".env.json.7",
        "checkpoints/.last.pkl.0a1b2c3d.tmp",
        "checkpoints/.epoch_3.pkl.55",
    ]
    own = [".hidden", "notes.tmp", "checkpoints/.last.pkl.backup", "checkpoints/epoch_3.pkl"]
    for name in stale + own:
        (tmp_path / name).touch()
    held(tmp_path)
    assert not any((tmp_path / name).exists() for name in stale)
    assert all((tmp_path / name).exists() for name in own)


@pytest.mark.parametrize("name", ["config.py", "log.txt", "log.jsonl", "env.json"])
def test_a_folder_in_the_place_of_a_file_is_named(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=rf"{re.escape(name)} is a folder"):
        held(tmp_path)


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "checkpoints").touch()
    with pytest.raises(ConfigError, match="checkpoints: File exists"):
        held(tmp_path)
    with pytest.raises(ConfigError, match="cannot be used"):
        held(tmp_path / "checkpoints" / "below")


def save(folder, name):
    (folder / name).write_bytes(b"weights")


def test_only_own_checkpoints_are_removed(tmp_path):
    for name in ("epoch_1.pkl", "epoch_9.pkl"):
        save(tmp_path, name)
    own = OwnCheckpoints(tmp_path, keep=2)
    for epoch in range(1, 5):
        save(tmp_path, f"epoch_{epoch}.pkl")
        own.add(f"epoch_{epoch}.pkl")
    names = {path.name for path in tmp_path.glob("*.pkl")}
    assert names == {"epoch_3.pkl", "epoch_4.pkl", "epoch_9.pkl"}
    again = OwnCheckpoints(tmp_path, keep=2, resumed=True)
    save(tmp_path, "epoch_5.pkl")
    again.add("epoch_5.pkl")
    assert {path.name for path in tmp_path.glob("*.pkl")} == {"epoch_4.pkl", "epoch_5.pkl", "epoch_9.pkl"}


@pytest.mark.parametrize("note", ["", "[1, 2]", '["../../x", "last.pkl"]', "[" * 3000, '{"a": 1}', "7"])
def test_a_note_that_is_none_removes_nothing(tmp_path, note):
    (tmp_path / "epochs.json").write_text(note)
    save(tmp_path, "epoch_1.pkl")
    own = OwnCheckpoints(tmp_path, keep=1, resumed=True)
    save(tmp_path, "epoch_2.pkl")
    own.add("epoch_2.pkl")
    assert (tmp_path / "epoch_1.pkl").exists()
