"""One run in a work_dir: which differences of config, teachers and data make another one."""

import json
import re
from pathlib import Path

import pytest

from jld.config import Config, dump_config
from jld.data import COCODataset
from jld.errors import ConfigError
from jld.runner.same_run import known_terms, require_finished_run, require_same_data, teacher_contents
from jld.runner.work_folder import work_folder


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


def written(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def distilled(files):
    return config(distill={"teacher": {key: files[key] for key in ("config", "checkpoint")}, "terms": []})


@pytest.fixture
def teachers(folder):
    """(folder of a run that noted its teacher, {"here" | "moved" | "other": the teacher's files})."""
    files = {
        name: {
            "config": written(folder / name / "r101/config.py", "depth = 101\n"),
            "checkpoint": written(folder / name / "r101/checkpoints/last.pkl", weights),
        }
        for name, weights in (("here", "trained"), ("moved", "trained"), ("other", "trained longer"))
    }
    (folder / "config.py").unlink()
    dump_config(distilled(files["here"]), folder / "config.py")
    (folder / "env.json").write_text(json.dumps({"teachers": teacher_contents(distilled(files["here"]))}))
    return folder, files


@pytest.mark.parametrize("resumed", [False, True])
def test_a_teacher_may_move_and_one_of_the_same_name_is_another_run(teachers, resumed, caplog):
    folder, files = teachers
    held(folder, distilled(files["moved"]), resumed)
    assert not caplog.messages
    with pytest.raises(ConfigError, match=r"differs in distill\.teacher\.checkpoint \("):
        held(folder, distilled(files["other"]), resumed)
    with pytest.raises(ConfigError, match=r"differs in distill\.teacher\.config \("):
        held(folder, distilled(files["moved"] | {"config": "gone/r101/config.py"}), resumed)
    (folder / "env.json").write_text("{}")  # of an earlier version, which noted no contents
    held(folder, distilled(files["here"]), resumed)
    with pytest.raises(ConfigError, match=r"distill\.teacher\.config .*distill\.teacher\.checkpoint"):
        held(folder, distilled(files["moved"]), resumed)


@pytest.mark.parametrize("changes", [{"max_epoch": 24}, *TUNED, *OTHER])
def test_a_finished_run_of_another_config_is_not_taken(folder, changes):
    with pytest.raises(ConfigError, match=f"differs in {next(iter(changes)).split('__')[0]}"):
        require_finished_run(folder, config(**changes))


def test_a_finished_run_may_lie_elsewhere_and_be_scored_otherwise(folder, tmp_path):
    scored_else = {"dataset__val": {"type": "COCODataset"}}
    for changes in ({}, {"dataset__train__root": "/elsewhere"}, {"name": "other"}, scored_else):
        require_finished_run(folder, config(**changes))
    require_finished_run(tmp_path / "nothing", config(seed=9))


@pytest.mark.parametrize("resumed", [False, True])
def test_terms_that_are_not_given_are_those_of_the_folder(folder, resumed, caplog):
    chosen = [{"type": "LocalizationKD", "weight": 12.0}]
    given, not_given, other = (
        config(distill={"teacher": {"config": "r101.py"}, "terms": terms}) for terms in (chosen, None, [])
    )
    assert known_terms(folder, not_given["distill"]) is None
    (folder / "config.py").unlink()
    dump_config(given, folder / "config.py")
    held(folder, not_given, resumed)
    assert not caplog.messages
    assert known_terms(folder, not_given["distill"]) == chosen
    assert known_terms(folder, other["distill"]) == []
    with pytest.raises(ConfigError, match=r"differs in distill\.terms"):
        held(folder, other, resumed)


def test_a_teacher_that_was_trained_on_in_its_place_is_named(teachers, caplog):
    folder, files = teachers
    Path(files["here"]["checkpoint"]).write_text("trained longer")
    held(folder, distilled(files["here"]), resumed=True)
    assert caplog.messages == [f"distill.teacher.checkpoint has changed since the run in {folder}."]


@pytest.fixture
def learnt(folder):
    """Gives the config of a run on data in folder/<place>/train.json, and their fingerprint."""

    def made(place, width=30):
        image = {"id": 1, "file_name": "a.jpg", "width": 64, "height": 48}
        box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, width, 20], "area": 1, "iscrowd": 0}
        text = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "ship"}]}
        section = {
            "type": "COCODataset",
            "anno_file": written(folder / place / "train.json", json.dumps(text)),
            "root": str(folder / place),
        }
        (folder / place / "a.jpg").write_bytes(b"pixels")
        data = COCODataset(section["root"], section["anno_file"])
        return config(dataset__train=section | {"num_workers": 1}), data.fingerprint()

    first, fingerprint = made("A")
    (folder / "config.py").unlink()
    dump_config(first, folder / "config.py")
    (folder / "env.json").write_text(json.dumps({"datasets": {"train": {"fingerprint": fingerprint}}}))
    return folder, made


@pytest.mark.parametrize("resumed", [False, True])
def test_data_may_move(learnt, resumed, caplog):
    folder, made = learnt
    moved, fingerprint = made("B")
    held(folder, moved, resumed)
    require_same_data(folder, moved, fingerprint, resumed=resumed)
    assert not caplog.messages


@pytest.mark.parametrize("difference", ["a box", "a pixel", "nothing noted"])
def test_other_data_in_a_file_of_the_same_name_are_another_run(learnt, difference, caplog):
    folder, made = learnt
    other, fingerprint = made("B", width=29 if difference == "a box" else 30)
    if difference == "a pixel":
        (folder / "B/a.jpg").write_bytes(b"pixelz")
        fingerprint = COCODataset(str(folder / "B"), str(folder / "B/train.json")).fingerprint()
    elif difference == "nothing noted":
        (folder / "env.json").unlink()
    held(folder, other)
    with pytest.raises(ConfigError, match=r"training data are not .*anno_file .*A/train\.json.* there"):
        require_same_data(folder, other, fingerprint, resumed=False)
    require_same_data(folder, other, fingerprint, resumed=True)
    assert "other training data" in caplog.text and "B/train.json" in caplog.text


@pytest.mark.parametrize("resumed", [False, True])
def test_data_that_changed_in_their_place_are_named(learnt, resumed, caplog):
    folder, made = learnt
    require_same_data(folder, *made("A", width=31), resumed=resumed)
    assert caplog.messages == [
        f"other training data than those of the run in {folder}, which have changed since."
    ]


@pytest.mark.parametrize(
    "text", ["", "[1]", "[" * 3000, '{"datasets": 7, "teachers": []}', '{"datasets": {}}']
)
def test_a_note_that_is_none_is_no_data(learnt, text, caplog):
    folder, made = learnt
    (folder / "env.json").write_text(text)
    first, fingerprint = made("A")
    held(folder, first)
    require_same_data(folder, first, fingerprint, resumed=False)
    assert not caplog.messages


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
