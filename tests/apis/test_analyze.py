"""The tools that look at runs, on files of detections; with a detector: tests/cli/test_run_net.py."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from jld.apis import analyze, draw
from jld.apis.looking import file_name, look
from jld.boxes.detections import Detections
from jld.config import prepare_config
from jld.data.results import write_plain_results
from jld.errors import CheckpointError, ConfigError, DataError
from jld.runner.parts import build_datasets

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """(config of six drawn images, detections of a poor student, of a good one)."""
    folder = tmp_path_factory.mktemp("looking")
    config = folder / "data.py"
    base = str(ROOT / "configs/quick_start/gfl_student.py")
    config.write_text(
        f"_base_ = {base!r}\ndataset = dict(val=dict(num_images=6))\nwork_dir = {str(folder / 'w')!r}\n"
    )
    dataset = build_datasets(prepare_config(config).dataset, ("val",))[0]["val"]
    written = []
    for name, noise, share in (("poor", 6.0, 0.6), ("good", 1.0, 0.9)):
        rng = np.random.default_rng(3)
        found = []
        for truth in dataset.ground_truth():
            kept = rng.random(len(truth["labels"])) < share
            boxes = truth["boxes"][kept] + rng.normal(0, noise, (np.count_nonzero(kept), 4))
            scores = rng.uniform(0.35, 1, len(boxes))
            found.append(Detections(truth["img_id"], scores, truth["labels"][kept], boxes=boxes))
        written.append(write_plain_results(found, dataset.classes, folder / f"{name}.json"))
    return config, *written


def run(tool, files, *arguments):
    return tool.main([*map(str, arguments), "--config-file", str(files[0]), "--cpu"])


def test_two_runs_give_tables_figures_and_marked_images(files, tmp_path, capsys):
    config, poor, good = files
    options = ("--save_dir", tmp_path, "--num", 2, "--bootstrap", 20, "--dpi", 60)
    assert run(analyze, files, good, "--against", poor, *options) == 0
    shown = capsys.readouterr().out
    table = (tmp_path / "tables.txt").read_text()
    assert "What changed" in table and table.strip() in shown
    line = next(line for line in table.splitlines() if line.startswith("AP50 ")).split()
    assert float(line[2]) > float(line[1]) and line[3] == f"{float(line[2]) - float(line[1]):+.2f}"
    assert set(json.loads((tmp_path / "analysis.json").read_text())) == {"poor", "good"}
    figures = {path.name for path in tmp_path.glob("*.png")}
    assert figures == {"errors.png", "precision.png", "calibration.png", "confusion.png"}
    picture = cv2.imread(str(next((tmp_path / "images").iterdir())))
    height, width = look(good, config=str(config)).dataset.read_image(0).shape[:2]
    zoom = -(-384 // max(height, width))
    assert picture.shape[1] == 2 * zoom * width + 8
    assert zoom * height < picture.shape[0] < zoom * height + 40  # a line with the name of each run


def test_one_run_shows_its_worst_images_in_any_format(files, tmp_path):
    assert (
        run(analyze, files, files[1], "--save_dir", tmp_path, "--num", 1, "--format", "pdf", "--no-text") == 0
    )
    (picture,) = (tmp_path / "images").iterdir()
    assert picture.read_bytes().startswith(b"%PDF") and (tmp_path / "errors.pdf").is_file()
    assert "What changed" not in (tmp_path / "tables.txt").read_text()


def test_pictures_of_runs_beside_the_ground_truth(files, tmp_path, capsys):
    assert run(draw, files, *files[1:], "--save_dir", tmp_path, "--num", 2, "--format", "svg") == 0
    first, _ = sorted(tmp_path.glob("*.svg"))
    page = first.read_text()
    assert all(title in page for title in ("ground truth", "poor", "good"))
    assert run(draw, files, files[1], "--save_dir", tmp_path, "--images", "nowhere") == 2
    assert "the data have no image 'nowhere'" in capsys.readouterr().err
    assert (
        run(draw, files, files[1], "--save_dir", tmp_path, "--images", "1", "--threshold", 1, "--no-text")
        == 0
    )
    bare = cv2.imread(str(tmp_path / "1.png"))
    half = (bare.shape[1] - 8) // 2
    assert not np.array_equal(bare[:, :half], bare[:, half + 8 :])  # nothing reaches a score of 1


def test_coco_result_files_need_category_ids(files, tmp_path):
    found = look(files[1], config=str(files[0])).detections
    entries = [
        {"image_id": each.img_id, "category_id": int(label), "score": float(score),
         "bbox": [*map(float, box[:2]), float(box[2] - box[0]), float(box[3] - box[1])]}
        for each in found for box, label, score in zip(each.boxes, each.labels, each.scores, strict=True)
    ]  # fmt: skip
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(entries))
    with pytest.raises(DataError, match="neither detections of jld nor a COCO result file"):
        look(path, config=str(files[0]))  # a drawn dataset has no category ids


def test_what_cannot_be_looked_at(files, tmp_path):
    with pytest.raises(ConfigError, match=r"are detections: name the data they are of with --config-file"):
        look(files[1])
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"")
    with pytest.raises(ConfigError, match=r"are weights: name their config with --config-file"):
        look(weights)
    with pytest.raises(CheckpointError, match=r"weights\.safetensors"):
        look(weights, config=str(files[0]))
    with pytest.raises(ConfigError, match=r"is no run's folder: it has no config\.py"):
        look(tmp_path)
    with pytest.raises(ConfigError, match="there are no weights to run"):
        look(files[0])
    assert file_name("a/b\\c d:1") == "a_b_c_d_1"
