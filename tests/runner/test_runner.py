"""Classes of detectors, checkpoints and datasets in the tasks of a run."""

from types import SimpleNamespace

import pytest

from jld.config import Config
from jld.data import COCODataset, ImageFolder
from jld.errors import ConfigError
from jld.runner import runner
from tests.tiny_data import write_coco


def detector(num_classes, *classes):
    return SimpleNamespace(classes=classes, interface=SimpleNamespace(num_classes=num_classes))


@pytest.fixture
def dataset(tmp_path):
    return COCODataset(*map(str, write_coco(tmp_path / "data")))


def test_a_detector_takes_over_the_names_of_its_data(dataset):
    for built in (detector(2), detector(2, "cat", "dog")):
        runner.check_classes(built, dataset)
        assert built.classes == ("cat", "dog")


def test_numbers_and_names_that_disagree_are_refused(dataset, tmp_path):
    with pytest.raises(ConfigError, match=r"num_classes is 7, but the dataset has 2 classes \(cat, dog\)"):
        runner.check_classes(detector(7), dataset)
    with pytest.raises(ConfigError, match=r"classes cat, dog, but the detector has the 2 classes cat, cow"):
        runner.check_classes(detector(2, "cat", "cow"), dataset)
    nameless = ImageFolder(str(tmp_path / "data/images"))
    built = detector(7, "a")
    runner.check_classes(built, nameless)
    assert built.classes == ("a",)


@pytest.mark.parametrize("order", [["cat", "dog"], ["dog", "cat"]])
def test_a_dataset_follows_the_checkpoint_that_runs_on_it(dataset, tmp_path, monkeypatch, order):
    monkeypatch.setattr(runner, "build_detector", lambda *_, **__: detector(2))
    monkeypatch.setattr(runner, "assign_state", lambda *_, **__: None)
    monkeypatch.setattr(runner, "evaluation_arrays", lambda *_, **__: ({}, {"classes": order}, "weights"))
    run = runner.Runner(Config({"work_dir": str(tmp_path), "ema": None}), checkpoint="some.pkl")
    built, followed, _ = run._trained_detector("val", dataset)
    assert list(built.classes) == list(followed.classes) == order
    names = [dataset.classes[label] for label in dataset.table.labels]
    assert [followed.classes[label] for label in followed.table.labels] == names
    images = ImageFolder(str(tmp_path / "data/images"))
    assert list(run._trained_detector("test", images)[1].classes) == order
