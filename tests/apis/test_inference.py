"""How inference reads images."""

from pathlib import Path

import pytest
from PIL import Image

from jld.apis import inference
from jld.config import load_config
from jld.data import ImageReader
from jld.errors import ConfigError


def test_images_are_read_as_the_test_data_are(tmp_path):
    stored = {"image_reader": {"orientation": "stored"}}
    for dataset, wanted in (
        ({"test": stored, "val": {}}, "stored"),
        ({"test": None, "val": stored}, "stored"),
        ({"train": stored, "test": {}}, "exif"),
        (None, "exif"),
    ):
        assert inference._test_reader({"dataset": dataset}).orientation == wanted
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (30, 20)).save(tmp_path / "phone.png", exif=exif)
    for reader, wanted in ((ImageReader(), (30, 20)), (ImageReader(orientation="stored"), (20, 30))):
        for image in (tmp_path / "phone.png", Image.open(tmp_path / "phone.png")):
            assert inference.read_pixels(reader, image).shape[:2] == wanted


def test_a_runs_folder_gives_its_best_weights(tmp_path, monkeypatch):
    run = tmp_path / "run.1"
    (run / "checkpoints").mkdir(parents=True)
    keys = {"_base_": "gfl_r18_1x_coco", "work_dir": "elsewhere", "resume_path": "other.pkl"}
    (run / "config.py").write_text("".join(f"{key} = {value!r}\n" for key, value in keys.items()))

    def seen(path):
        raise ConfigError(f"weights of {path}")

    monkeypatch.setattr(inference, "evaluated_weights", seen)
    with pytest.raises(ConfigError, match=r"there are no weights to run"):
        inference.init_detector(run, device="cpu")
    for name in ("last.pkl", "best.pkl"):
        (run / "checkpoints" / name).touch()
        with pytest.raises(ConfigError, match=f"weights of {run / 'checkpoints' / name}"):
            inference.init_detector(run, device="cpu")


def test_images_are_normalised_as_the_weights_learnt_them():
    folder = Path(__file__).resolve().parents[2] / "configs/quick_start"
    weights = next(folder.glob("weights/noisy_gfl_student-*.safetensors"))
    config = load_config(folder / "noisy_gfl_student.py")
    config["dataset"]["test"]["transforms"][0]["mean"] = [0.0, 0.0, 0.0]
    with pytest.raises(ConfigError, match=r"images are RGB mean 0, 0, 0 .* the detector takes RGB mean 116"):
        inference.init_detector(config, weights, device="cpu")
