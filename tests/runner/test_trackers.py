"""Loggers of other trackers: the calls they make on stand-ins, and the packages where they are installed."""

import importlib.util
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from jld.errors import ConfigError
from jld.runner import MLflowLogger, SwanLabLogger, WandbLogger

RECORD = {"iter": 5, "epoch": 1, "time": 1.0, "total_loss": 1.5, "eval/AP": 0.25, "eta": "0:01"}
PICTURES = {"val/1": np.zeros((8, 9, 3), np.uint8) + np.uint8([1, 2, 3])}
TRACKERS = [WandbLogger, SwanLabLogger, MLflowLogger]


class Calls:
    """Takes any call by name and notes it."""

    def __init__(self, **answers):
        self.made, self.answers = [], answers

    def __getattr__(self, name):
        def call(*arguments, **keywords):
            self.made.append((name, arguments, keywords))
            return self.answers.get(name)

        return call

    def of(self, name):
        return [(arguments, keywords) for made, arguments, keywords in self.made if made == name]


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    return lambda name, module: monkeypatch.setitem(sys.modules, name, module)


def play(logger, work_dir, keep_old=False):
    logger.open(work_dir, keep_old, {"seed": 1})
    logger.log(RECORD)
    logger.log_pictures(PICTURES, 5)
    logger.close()


@pytest.mark.parametrize("cls", [WandbLogger, SwanLabLogger])
def test_runs_are_begun_filled_and_gone_on_with(cls, installed, tmp_path):
    run = Calls()
    run.id = "abc"
    module = Calls(init=run)
    module.Image = lambda picture: ("image", picture[0, 0].tolist())
    installed(cls.package, module)
    play(cls(project="p"), tmp_path)
    play(cls(project="p"), tmp_path, keep_old=True)
    (_, begun), (_, resumed) = module.of("init")
    assert begun["project"] == "p" and begun["mode"] == "offline" and begun["config"] == {"seed": 1}
    assert str(tmp_path) in {begun.get("dir"), str(begun.get("logdir", "")).removesuffix("/swanlab")}
    assert (begun.get("id"), resumed["id"], resumed["resume"]) == (None, "abc", "allow")
    numbers, pictures = run.of("log")[:2]
    assert numbers == (({"total_loss": 1.5, "eval/AP": 0.25},), {"step": 5})
    assert pictures == (({"val/1": ("image", [3, 2, 1])},), {"step": 5})  # RGB
    assert len(run.of("finish")) == 2


def test_mlflow_is_called_as_its_client_wants(installed, tmp_path):
    made = SimpleNamespace(info=SimpleNamespace(run_id="r1"))
    client = Calls(get_experiment_by_name=None, create_experiment="7", create_run=made)
    places = []
    module = SimpleNamespace(MlflowClient=lambda place: (places.append(place), client)[1])
    installed("mlflow", module)
    play(MLflowLogger(), tmp_path)
    play(MLflowLogger(tracking_uri="http://server"), tmp_path, keep_old=True)
    assert places == [f"sqlite:///{tmp_path / 'mlflow.db'}", "http://server"]
    assert client.of("create_experiment")[0] == (("jld", (tmp_path / "mlflow").as_uri()), {})
    assert client.of("create_run") == [(("7",), {"run_name": tmp_path.name})]  # the second went on with it
    assert client.of("log_metric")[:2] == [
        (("r1", "total_loss", 1.5), {"step": 5}),
        (("r1", "eval/AP", 0.25), {"step": 5}),
    ]
    assert client.of("log_image")[0][0][2] == "val/1_0000005.png"
    assert len(client.of("set_terminated")) == 2


@pytest.mark.parametrize("cls", TRACKERS)
def test_a_missing_package_is_named_before_the_training(cls, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=f"needs the package {cls.package}: pip install {cls.package}"):
        cls()


@pytest.mark.parametrize("cls", TRACKERS)
def test_the_package_itself_writes_into_the_folder(cls, tmp_path, monkeypatch):
    pytest.importorskip(cls.package)
    monkeypatch.setenv("WANDB_SILENT", "true")
    play(cls(), tmp_path)
    play(cls(), tmp_path, keep_old=True)
    note = (tmp_path / f"{cls.package}_run.txt").read_text().strip()
    files = [str(path) for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size]
    assert note and len([file for file in files if file.endswith(".png")]) == 2
    assert json.dumps(files).count(note) >= 2
