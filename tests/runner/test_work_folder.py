"""One run at a time and one config in a work_dir; other runs' files are left alone."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jld.config import Config, dump_config
from jld.errors import ConfigError
from jld.runner.work_folder import OwnCheckpoints, work_folder

ROOT = Path(__file__).parents[2]


def config(**changes):
    values = {
        "name": "run",
        "work_dir": "out",
        "model": {"type": "GFL", "backbone": {"type": "Resnet18", "pretrained": None}},
        "dataset": {
            "train": {"type": "COCODataset", "root": "data", "batch_size": 4, "num_workers": 2},
            "val": None,
        },
        "optimizer": {"type": "SGD", "lr": 0.01},
        "max_epoch": 12,
        "seed": 0,
    }
    for path, value in changes.items():
        node = values
        *parents, last = path.split("__")
        for key in parents:
            node = node[key]
        node[last] = value
    return Config(values)


def held(path, wanted, resumed=False):
    with work_folder(path, wanted, resumed=resumed):
        pass


@pytest.fixture
def folder(tmp_path):
    """A folder in which a run of `config()` saved a checkpoint."""
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.pkl").write_bytes(b"weights")
    dump_config(config(), tmp_path / "config.py")
    return tmp_path


FREE = [
    {"max_epoch": 24},
    {"dataset__train__root": "/elsewhere"},
    {"dataset__train__num_workers": 0},
    {"model__backbone__pretrained": "r18.pth"},
    {"dataset__val": {"type": "COCODataset"}},
    {"name": "other"},
]
TUNED = [{"optimizer__lr": 0.5}, {"seed": 3}, {"dataset__train__batch_size": 8}]
OTHER = [
    {"model__backbone__type": "Resnet50"},
    {"dataset__train__type": "VOCDataset"},
    {"optimizer__type": "AdamW"},
]


@pytest.mark.parametrize("changes", FREE)
@pytest.mark.parametrize("resumed", [False, True])
def test_lengths_and_places_may_differ(folder, changes, resumed, caplog):
    held(folder, config(**changes), resumed)
    assert "another config" not in caplog.text


@pytest.mark.parametrize("changes", TUNED)
def test_settings_may_differ_when_resumed_and_are_named(folder, changes, caplog):
    key = next(iter(changes)).replace("__", ".")
    held(folder, config(**changes), resumed=True)
    assert "going on with another config" in caplog.text and key in caplog.text
    with pytest.raises(ConfigError, match=rf"holds another run; its config\.py differs in {re.escape(key)}"):
        held(folder, config(**changes))


@pytest.mark.parametrize("changes", OTHER)
@pytest.mark.parametrize("resumed", [False, True])
def test_another_run_stops_before_anything_is_written(folder, changes, resumed):
    before = sorted(folder.rglob("*"))
    with pytest.raises(ConfigError, match="holds another run") as caught:
        held(folder, config(**changes), resumed)
    assert next(iter(changes)).replace("__", ".") in str(caught.value) and "work_dir" in str(caught.value)
    assert sorted(folder.rglob("*")) == before


TEACHER = {"config": "work_dirs/r101/config.py", "checkpoint": "work_dirs/r101/checkpoints/last.pkl"}
DATA = {"type": "DOTADataset", "dataset_dir": "data/train_600", "annotations_file": "data/a/train.json"}
OTHER_FILES = {
    "distill.teacher.config": ("/else/r101/config.py", "work_dirs/r50/config.py"),
    "distill.teacher.checkpoint": ("/else/r101/checkpoints/last.pkl", "work_dirs/r50/checkpoints/last.pkl"),
    "dataset.train.dataset_dir": ("/else/train_600/", "data/train_1024"),
    "dataset.train.annotations_file": ("train.json", "data/a/other.json"),
}


@pytest.mark.parametrize("key", OTHER_FILES)
def test_files_may_move_and_other_files_are_another_run(folder, key, caplog):
    def wanted(**changed):
        teacher, data = ({k: changed.get(k, v) for k, v in part.items()} for part in (TEACHER, DATA))
        return config(distill={"teacher": teacher, "terms": []}, dataset__train=data)

    (folder / "config.py").unlink()
    dump_config(wanted(), folder / "config.py")
    moved, other = ({key.split(".")[-1]: place} for place in OTHER_FILES[key])
    for resumed in (False, True):
        held(folder, wanted(**moved), resumed)
    assert "another config" not in caplog.text
    with pytest.raises(ConfigError, match=rf"holds another run; its config\.py differs in {re.escape(key)}"):
        held(folder, wanted(**other))
    if key.startswith("distill"):
        with pytest.raises(ConfigError, match="holds another run"):
            held(folder, wanted(**other), resumed=True)
    else:
        held(folder, wanted(**other), resumed=True)
        assert f"going on with another config: {key}" in caplog.text


@pytest.mark.parametrize("resumed", [False, True])
def test_keys_that_an_earlier_version_wrote_are_no_other_run(folder, resumed, caplog):
    with (folder / "config.py").open("a") as file:
        file.write("amp = False\nparameter_groups_generator = None\nmerge_nms_threshold_type = 0\n")
    held(folder, config(), resumed)
    assert "another config" not in caplog.text


def test_a_folder_without_checkpoints_holds_no_run(folder):
    (folder / "checkpoints" / "last.pkl").unlink()
    held(folder, config(seed=9))


def test_a_config_that_computes_is_not_run(folder):
    text = f'"""Resolved config"""\nimport os\nx = os.mkdir({str(folder / "seen")!r})\n'
    (folder / "config.py").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.py, line 3: x is not plain"):
        held(folder, config())
    assert not (folder / "seen").exists()


def test_a_config_that_a_user_wrote_is_not_replaced(tmp_path):
    (tmp_path / "config.py").write_text("seed = 1\n")
    with pytest.raises(ConfigError, match=r"config\.py was not written by a run"):
        held(tmp_path, config())


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
        held(tmp_path, config())
    first.send_signal(signal.SIGKILL)
    first.wait()
    held(tmp_path, config())
    assert not (tmp_path / "run.lock").exists()


def test_a_lock_that_its_owner_removes_just_then_is_refused_all_the_same(tmp_path, monkeypatch):
    def held_and_removed(path):
        raise BlockingIOError

    monkeypatch.setattr("jld.runner.work_folder._lock", held_and_removed)
    with pytest.raises(ConfigError, match=r"another run is alive in work_dir .*: another process"):
        held(tmp_path, config())


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
    held(tmp_path, config())
    assert not any((tmp_path / name).exists() for name in stale)
    assert all((tmp_path / name).exists() for name in own)


@pytest.mark.parametrize("name", ["config.py", "log.txt", "log.jsonl", "env.json"])
def test_a_folder_in_the_place_of_a_file_is_named(tmp_path, name):
    (tmp_path / name).mkdir()
    with pytest.raises(ConfigError, match=rf"{re.escape(name)} is a folder"):
        held(tmp_path, config())


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path):
    (tmp_path / "checkpoints").touch()
    with pytest.raises(ConfigError, match="checkpoints: File exists"):
        held(tmp_path, config())
    with pytest.raises(ConfigError, match="cannot be used"):
        held(tmp_path / "checkpoints" / "below", config())


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
