"""`jld.predict` and its command: sources, batches, windows, thresholds, files; a tiny detector."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

import jld
from jld.apis import predict as module
from jld.boxes.detections import Detections
from jld.checkpoint import write_safetensors
from jld.config import prepare_config, shipped_configs
from jld.data import DrawnDataset, YOLODataset
from jld.data.dota import read_label_file
from jld.errors import ConfigError, DataError
from jld.evaluation import CocoEvaluator
from jld.runner.parts import build_datasets
from jld.visualization.films import FilmWriter
from tests.cli.tiny_config import write_config

EVERYTHING = 'model["bbox_head"].update(score_threshold=0.0, nms_pre=20, max_per_image=5)\n'


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    return write_config(tmp_path_factory.mktemp("predict"), EVERYTHING)


@pytest.fixture(scope="module")
def detector(config):
    return jld.init_detector(config, device="cpu")


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    """A folder with two drawn images."""
    folder, drawn = tmp_path_factory.mktemp("shots"), DrawnDataset(split="test", num_images=2, image_size=64)
    for index in range(2):
        cv2.imwrite(str(folder / f"shot {index}.png"), drawn.read_image(index))
    return folder


def test_sources_give_the_same_detections(detector, shots):
    one = jld.predict(detector, shots / "shot 0.png")
    assert isinstance(one, Detections) and len(one) == 5 and one.image_size == (64, 64)
    folder = jld.predict(detector, shots, batch_size=2)
    assert [found.img_id for found in folder] == [str(shots / f"shot {index}.png") for index in range(2)]
    image = cv2.imread(str(shots / "shot 0.png"))
    (pattern,) = jld.predict(detector, f"{shots}/*0.png")
    for other in (folder[0], pattern, jld.predict(detector, image), jld.inference_detector(detector, image)):
        np.testing.assert_allclose(other["scores"], one["scores"], atol=1e-5)
        assert other.names == one.names and set(one.names) <= set(detector.classes)
    np.testing.assert_array_equal(folder[0].pixels(), image)


def test_thresholds_and_classes_choose(detector, shots):
    one = jld.predict(detector, shots / "shot 0.png")
    least = float(one.scores[2])
    assert len(jld.predict(detector, shots / "shot 0.png", threshold=least)) == 3
    chosen = jld.predict(detector, [shots / "shot 0.png"], classes=[one.names[0]])[0]
    assert len(chosen) == one.names.count(one.names[0]) and set(chosen.names) == {one.names[0]}
    for options, reason in (
        ({"classes": ["dsic"]}, "did you mean 'disc'"),
        ({"window": 64, "overlap": 64}, "overlap_size is 64 px"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"every": 0}, "every is 0"),
    ):
        with pytest.raises(ConfigError, match=reason):
            jld.predict(detector, shots, **options)


def find_bright(_, images, names, *, rotated=False):
    """Stands in for a detector: every bright rectangle, cut ones with a lower score."""
    found = []
    for image, name in zip(images, names, strict=True):
        _, _, stats, _ = cv2.connectedComponentsWithStats((image[..., 0] > 128).astype(np.uint8))
        boxes = np.array([[x, y, x + w, y + h] for x, y, w, h, _ in stats[1:]], np.float32).reshape(-1, 4)
        scores = np.sqrt((boxes[:, 2:] - boxes[:, :2]).prod(1)) / 100
        order = np.argsort(-scores)
        boxes, scores, labels = boxes[order], scores[order], np.zeros(len(boxes), np.int64)
        center, sides = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
        rboxes = np.concatenate([center, sides, np.zeros((len(boxes), 1))], 1)
        form = {"rboxes": rboxes} if rotated else {"boxes": boxes}
        found.append(Detections(name, scores, labels, **form))
    return found


@pytest.mark.parametrize("rotated", [False, True])
def test_objects_on_the_borders_of_windows_are_found_once(detector, monkeypatch, rotated):
    image = np.zeros((150, 220, 3), np.uint8)
    boxes = [[5, 5, 25, 15], [90, 60, 110, 80], [55, 130, 75, 146], [190, 100, 215, 120]]
    for x1, y1, x2, y2 in boxes:
        image[y1:y2, x1:x2] = 200
    monkeypatch.setattr(module, "detect_pixels", lambda *given: find_bright(*given, rotated=rotated))
    found = module.predict(detector, image, window=100, overlap=50, merge_iou=0.3, batch_size=4)
    corners = found.corners().reshape(-1, 4, 2)
    shown = np.concatenate([corners.min(1), corners.max(1)], 1)
    assert found.form == ("rboxes" if rotated else "boxes") and found.img_id == 0
    np.testing.assert_allclose(sorted(shown.tolist()), sorted(boxes), atol=1e-4)
    assert (np.diff(found.scores) <= 0).all()
    alone = module.predict(detector, image, window=300, overlap=50)
    assert len(alone) == 4 and alone.img_id == 0


def test_the_command_writes_every_kind_of_file(config, detector, shots, tmp_path, capsys, monkeypatch):
    (tmp_path / "in").mkdir()
    for index in range(2):
        (tmp_path / f"in/{index}.png").write_bytes((shots / f"shot {index}.png").read_bytes())
    (tmp_path / "in/broken.png").write_bytes(b"none")
    monkeypatch.chdir(tmp_path)  # no run of this name has left weights here
    sources = [str(tmp_path / "in"), str(shots / "shot 1.png"), str(tmp_path / "in/1.png"), "--cpu"]
    assert module.main([str(config), *sources]) == 2
    assert "train first or give --checkpoint" in capsys.readouterr().err
    arrays = {name: value.numpy() for name, value in detector.state_dict().items()}
    write_safetensors(tmp_path / "weights.safetensors", arrays, {})
    words = [*sources, "--config", str(config), "--checkpoint", str(tmp_path / "weights.safetensors")]
    words += ["--save_dir", str(tmp_path / "out"), "--threshold", "0", "--save"]
    assert module.main([*words, *(kind for kind in module.SAVED if kind != "film")]) == 1
    said = capsys.readouterr()
    assert "broken.png cannot be used" in said.err and said.out.count(".png: ") == 4
    out = tmp_path / "out"
    stems = ["0", "1", "1_2", "shot 1"]
    assert sorted(path.stem for path in (out / "images").iterdir()) == stems
    content = json.loads((out / "predictions.json").read_text())
    assert len(content["images"]) == 4 and content["classes"] == list(DrawnDataset().classes)
    (out / "yolo").rename(tmp_path / "labels")
    (tmp_path / "in/broken.png").unlink()
    for stem in ("1_2", "shot 1"):
        (tmp_path / f"labels/{stem}.txt").unlink()
    labels = YOLODataset(str(tmp_path / "in"), str(tmp_path / "labels"), filter_empty_gt=False)
    boxes = np.clip(np.array(content["images"][0]["boxes"]), 0, 64)
    np.testing.assert_allclose(labels.ground_truth()[0]["boxes"], boxes, atol=1e-3)
    annotation, problems = read_label_file(out / "dota/0.txt")
    assert len(annotation) == 5 and not problems
    assert len(list((out / "crops").rglob("*.jpg"))) == 20
    assert module.main([*words, "image"]) == 2
    assert "did you mean 'images'" in capsys.readouterr().err
    assert module.main([*words, "film"]) == 2 and "no source was a film" in capsys.readouterr().err
    film = FilmWriter(tmp_path / "walk", 10, (64, 64))
    for _ in range(3):
        film.write(cv2.imread(str(shots / "shot 0.png")))
    film.close()
    assert module.main([str(film.path), *words, "film", "--every", "2"]) == 0
    (drawn,) = (out / "films").iterdir()
    shown = cv2.VideoCapture(str(drawn))
    assert drawn.stem == "walk" and shown.get(cv2.CAP_PROP_FPS) == pytest.approx(5)
    assert shown.get(cv2.CAP_PROP_FRAME_COUNT) == 2


def test_a_broken_image_stops_the_library(detector, tmp_path):
    (tmp_path / "broken.png").write_bytes(b"none")
    with pytest.raises(DataError, match=r"broken\.png cannot be used"):
        jld.predict(detector, tmp_path)


def test_the_models_that_come_with_jld_find_figures(tmp_path, monkeypatch):
    """By their path below configs/, from any folder; a distilled student finds what it is scored on."""
    (file,) = (shipped_configs() / "quick_start/weights").glob("ld_imitation_noisy_gfl_student-*.safetensors")
    monkeypatch.chdir(tmp_path)
    detector = jld.init_detector(f"configs/quick_start/weights/{file.name}", device="cpu")
    config = prepare_config("ld_imitation_noisy_gfl_student", ["dataset.val.num_images=16"])
    data = build_datasets({"val": config.dataset.val}, ("val",))[0]["val"]
    truths = data.ground_truth()
    found = jld.predict(detector, [data.read_image(index) for index in range(16)], batch_size=16)
    found = [replace(each, img_id=truth["img_id"]) for each, truth in zip(found, truths, strict=True)]
    scores = CocoEvaluator()(found, truths, data.classes)
    assert detector.classes == tuple(data.classes) and scores["AP50"] > 0.6
