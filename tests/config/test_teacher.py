"""A teacher named by one file, and a plain config that one override makes a distilled one."""

import json

import numpy as np
import pytest

from jld.checkpoint import write_safetensors
from jld.config import apply_overrides, find_config, load_config
from jld.config.teacher import teacher_section
from jld.errors import ConfigError

WEIGHTS = {"x": np.zeros(2, np.float32)}
TEXT = "model = dict(type='Net')\nwork_dir = {!r}\n"


def written(path, text=TEXT):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text.format(str(path.parent / "run")))
    return path


def weights(path, **meta):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_safetensors(path, WEIGHTS, meta)
    return path


def test_a_config_stands_for_the_best_weights_of_its_run(tmp_path):
    config = written(tmp_path / "teacher.py")
    with pytest.raises(
        ConfigError, match=r"no weights of .*teacher\.py: there is none of .*best\.pkl, .*last\.pkl"
    ):
        teacher_section(str(config))
    for file in ("last.pkl", "best.pkl"):
        checkpoint = weights(tmp_path / "run" / "checkpoints" / file)
        assert teacher_section(str(config)) == {"config": str(config), "checkpoint": str(checkpoint)}


def test_the_folder_of_a_run_and_its_checkpoints(tmp_path):
    config = written(tmp_path / "run" / "config.py")
    best = weights(tmp_path / "run" / "checkpoints" / "best.pkl")
    expected = {"config": str(config), "checkpoint": str(best)}
    assert teacher_section(str(tmp_path / "run")) == teacher_section(str(best)) == expected


def test_weights_find_their_config_beside_them_or_hold_it(tmp_path):
    file = weights(tmp_path / "teacher.safetensors")
    with pytest.raises(ConfigError, match="does not hold its config, and there is none of"):
        teacher_section(str(file))
    held = {"model": {"type": "Net", "depth": 3}}
    weights(file, jld_version="1", config=json.dumps(held))
    found = teacher_section(str(file))
    assert found == {"config": held, "checkpoint": str(file)} and found["config"].model.depth == 3
    config = written(tmp_path / "teacher.py")
    assert teacher_section(str(file))["config"] == str(config)


def test_a_shipped_config_stands_for_its_published_weights(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = find_config("gfl_r101_ms_2x_coco")
    with pytest.raises(
        ConfigError, match=r"no weights of .*, get https://.*`jld download gfl_r101_ms_2x_coco`"
    ):
        teacher_section("gfl_r101_ms_2x_coco")
    file = weights(tmp_path / "weights" / "gfl_r101_ms_2x_coco.pth").relative_to(tmp_path)
    assert teacher_section("gfl_r101_ms_2x_coco") == {"config": str(config), "checkpoint": str(file)}
    own = written(tmp_path / "gfl_r101_ms_2x_coco.py")  # another detector of this name has no such weights
    with pytest.raises(
        ConfigError, match=r"no weights of gfl_r101_ms_2x_coco\.py: there is none of (?!.*weights/)"
    ):
        teacher_section(own.name)


def test_what_is_not_there(tmp_path):
    for name, said in (
        ("nowhere.py", "no file"),
        ("nowhere", "no file"),
        (".", "no run's folder: it has no"),
    ):
        with pytest.raises(ConfigError, match=rf"distill\.teacher: .*{said}"):
            teacher_section(str(tmp_path / name))


def test_one_override_makes_a_plain_config_a_distilled_one(tmp_path):
    config = load_config(written(tmp_path / "plain.py"))
    assert apply_overrides(config, ["distill.teacher=a.pth"]).distill == {"teacher": "a.pth"}
    with pytest.raises(ConfigError, match="there is no optimizer"):
        apply_overrides(config, ["optimizer.lr=0.1"])
