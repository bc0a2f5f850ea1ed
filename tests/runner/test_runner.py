"""Classes of detectors, checkpoints and datasets in the tasks of a run."""

import json
from types import SimpleNamespace

import pytest

from jld.checkpoint import Checkpoint
from jld.config import Config
from jld.data import COCODataset, ImageFolder
from jld.errors import ConfigError
from jld.models.boxes import DistanceBoxes
from jld.runner import runner
from tests.tiny_data import write_coco


def detector(num_classes, *classes):
    stage = SimpleNamespace(boxes=DistanceBoxes())
    told = SimpleNamespace(num_classes=num_classes, classes=classes, stage=lambda: stage)
    return SimpleNamespace(classes=classes, interface=told, normalisation=None)


@pytest.fixture
def dataset(tmp_path):
    return COCODataset(*map(str, write_coco(tmp_path / "data")))


def trained(monkeypatch, tmp_path, built, names, **meta):
    """A runner with a checkpoint of this detector that was trained on classes with these names."""
    monkeypatch.setattr(runner, "build_detector", lambda *_, **__: built)
    monkeypatch.setattr(runner, "assign_state", lambda *_, **__: None)
    found = Checkpoint({}, {"classes": names} | meta)
    monkeypatch.setattr(runner, "evaluated_weights", lambda *_, **__: (found, "weights"))
    config = {
        "dataset": {"val": {}, "test": {}},
        "work_dir": str(tmp_path),
        "ema": None,
        "flip_test": None,
        "scale_test": None,
        "resume_path": None,
        "published": None,
    }
    return runner.Runner(Config({**config, "merge_iou_threshold": None}), checkpoint="some.pkl")


@pytest.mark.parametrize("order", [["cat", "dog"], ["dog", "cat"]])
def test_a_dataset_follows_the_checkpoint_that_runs_on_it(dataset, tmp_path, monkeypatch, order):
    run = trained(monkeypatch, tmp_path, detector(2), order)
    built, followed, _ = run._trained_detector("val", dataset)
    assert list(built.classes) == list(followed.classes) == order
    names = [dataset.classes[label] for label in dataset.table.labels]
    assert [followed.classes[label] for label in followed.table.labels] == names
    images = ImageFolder(str(tmp_path / "data/images"))
    assert list(run._trained_detector("test", images)[1].classes) == order


def test_images_are_normalised_as_the_weights_learnt_them(dataset, tmp_path, monkeypatch):
    def step(mean):
        return {"transforms": [{"type": "Normalize", "mean": [mean] * 3, "std": [1.0, 1.0, 1.0]}]}

    held = json.dumps({"model": {"type": "GFL"}, "dataset": {"train": step(100.0)}})
    run = trained(monkeypatch, tmp_path, detector(2), ["cat", "dog"], config=held)
    run.config["dataset"]["val"] = step(100.0)
    run._trained_detector("val", dataset)
    run.config["dataset"]["val"] = step(0.0)
    with pytest.raises(ConfigError, match=r"dataset\.val: the images are RGB mean 0, .* takes RGB mean 100"):
        run._trained_detector("val", dataset)
    run.config["dataset"]["val"] = {}
    with pytest.raises(ConfigError, match="the images are not normalised"):
        run._trained_detector("val", dataset)


def test_a_detector_keeps_its_names_where_nobody_has_others(dataset, tmp_path, monkeypatch):
    images = ImageFolder(str(tmp_path / "data/images"))
    built, _, _ = trained(monkeypatch, tmp_path, detector(7, "a"), ())._trained_detector("test", images)
    assert built.classes == ("a",)
    with pytest.raises(ConfigError, match=r"num_classes is 7, but the dataset has 2 classes \(cat, dog\)"):
        trained(monkeypatch, tmp_path, detector(7), ())._trained_detector("val", dataset)


def test_val_takes_names_that_no_submission_holds(dataset, tmp_path, monkeypatch):
    dataset.result_problems = lambda: ["1 image cannot be named"]
    scores = {"AP": 0.5, "per_class": {}, "protocol": "COCO"}
    run = trained(monkeypatch, tmp_path, detector(2), ["cat", "dog"])
    monkeypatch.setattr(run, "_datasets", lambda split, **_: {split: dataset})
    monkeypatch.setattr(run, "_evaluate", lambda *_, **__: (scores, []))
    run.val()
    assert (tmp_path / "results/detections.json").is_file() and (tmp_path / "results/metrics.json").is_file()
    with pytest.raises(ConfigError, match=r"dataset\.test: 1 image cannot be named"):
        run.test()
