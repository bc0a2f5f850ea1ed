"""The table of published weights, and the sentences about those that are not here."""

from pathlib import Path

import pytest

from jld.checkpoint import read_checkpoint
from jld.checkpoint.weights import KNOWN_FILES, available, how_to_get, known_file, obtain, weights_folder
from jld.config import load_config, named_configs
from jld.config.config import walk
from jld.errors import CheckpointError

TEACHER = "gfl_r101_ms_2x_coco"


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    monkeypatch.setenv("JLD_WEIGHTS", str(tmp_path / "cache"))
    monkeypatch.delenv("JLD_DOWNLOAD", raising=False)
    monkeypatch.chdir(tmp_path)


def test_every_file_has_one_name_and_one_place():
    for values in zip(*((known.name, known.url, str(known.place)) for known in KNOWN_FILES), strict=True):
        assert len(set(values)) == len(values)
    for known in KNOWN_FILES:
        assert known.url.startswith("https://") and known.sha256 in known.url
        assert len(known.sha256) in (0, 8) and set(known.sha256) <= set("0123456789abcdef")


def test_every_backbone_of_the_configs_and_their_teachers_are_in_it():
    configs = [file for files in named_configs().values() for file in files if "preprocess" not in file.parts]
    named = {
        value
        for file in configs
        for path, value in walk(load_config(file))
        if path.endswith(".pretrained") and isinstance(value, str)
    }
    assert len(named) > 10 and [name for name in sorted(named) if known_file(name) is None] == []
    teachers = [known.name for known in KNOWN_FILES if "://" not in known.name]
    assert len(teachers) > 15 and set(teachers) <= set(named_configs())


def test_names_with_and_without_scheme_and_places():
    known = known_file("torchvision://resnet18")
    assert known == known_file("resnet18") and known.place == weights_folder() / "resnet18-f37072fd.pth"
    assert known_file("./weights/gfl_r101_ms_2x_coco.pth") == known_file(TEACHER)
    assert known_file("open-mmlab://detectron2/resnet50_caffe").place.name == "resnet50_caffe-5891d200.pth"
    assert known_file("vgg16") is None is available("vgg16") and how_to_get("vgg16") == ""


@pytest.mark.parametrize("kind", [str, Path])  # a Path squeezes the slashes of an address
def test_an_address_is_a_name_too(kind):
    url = "https://cloud.example.org/f/b737fe43de8c47a6810e/?dl=1"
    with pytest.raises(CheckpointError) as error:
        read_checkpoint(kind(url))
    assert f"it is {url}: `jld download {url}` or the flag --download fetches it" in str(error.value)
    assert str(error.value).endswith("put it to weights/b737fe43de8c47a6810e.")
    assert known_file("https://x.org/a/net-0123abcd.pth").sha256 == "0123abcd"


def test_nothing_is_fetched_without_being_asked_for():
    assert available(TEACHER) is None
    place = Path("weights/gfl_r101_ms_2x_coco.pth")
    with pytest.raises(
        CheckpointError,
        match=rf"{place}: .*/gfl_r101_fpn_.*dd12f847\.pth: `jld download {TEACHER}` or .*{place}\.",
    ):
        read_checkpoint(place)
    place.parent.mkdir()
    place.touch()
    assert available(TEACHER) == obtain(TEACHER) == place
    with pytest.raises(CheckpointError, match="no weights are known as 'resnet19': did you mean"):
        obtain("resnet19")
