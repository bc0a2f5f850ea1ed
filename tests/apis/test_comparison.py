"""Which runs a comparison has, and what it leaves in its folder."""

import json

import cv2
import numpy as np
import pytest

from jld.apis import comparison, comparison_pictures
from jld.apis.comparison import Entry, compare, of_every_seed
from jld.apis.comparison_pictures import draw_gains
from jld.boxes.detections import Detections
from jld.config import Config, dump_config, fill_defaults
from jld.data import DrawnDataset
from jld.data.results import write_plain_results
from jld.evaluation import CocoEvaluator
from jld.evaluation.significance import Gain
from jld.visualization import figures

STUDENTS = [Entry("plain", "plain.py"), Entry("taught", "taught.py", "teacher", gain_over="plain")]


def test_a_seed_has_a_run_of_every_entry_that_names_none():
    entries = [
        Entry("teacher", "teacher.py", seed=7),
        Entry("begun", "plain.py"),
        Entry("taught", "taught.py", "teacher", starts_from="begun"),
    ]
    runs = of_every_seed(entries, [0, 3])
    assert [(run.name, run.seed, run.taught_by, run.starts_from) for run in runs] == [
        ("teacher", 7, None, None),
        ("begun_seed0", 0, None, None),
        ("taught_seed0", 0, "teacher", "begun_seed0"),
        ("begun_seed3", 3, None, None),
        ("taught_seed3", 3, "teacher", "begun_seed3"),
    ]


@pytest.fixture
def scored(monkeypatch):
    """Runs that find every object by so much the better the later they come, and train nothing."""
    dataset, spread = DrawnDataset("val", num_images=12), {"plain": 0.2, "taught": 0.1, "teacher": 0.05}

    def score(config):
        rng = np.random.default_rng(config.seed)
        found = []
        for truth in dataset.ground_truth():
            sides = np.tile(truth["boxes"][:, 2:] - truth["boxes"][:, :2], 2)
            boxes = truth["boxes"] + sides * rng.normal(0, spread[config.kind], (len(sides), 4))
            found.append(Detections(truth["img_id"], rng.random(len(boxes)), truth["labels"], boxes=boxes))
        write_plain_results(found, dataset.classes, config.folder / comparison.DETECTIONS)
        metrics, _ = dataset.score(found, CocoEvaluator())
        return metrics

    def config_of(run, work_dir, _):
        (work_dir / run.name).mkdir(exist_ok=True)
        (work_dir / run.name / "log.jsonl").write_text(json.dumps({"iter": 1, "eval/AP": 0.5}))
        kind = run.name.split("_")[0]
        return type("Config", (), {"folder": work_dir / run.name, "seed": run.seed, "kind": kind})

    monkeypatch.setattr(comparison, "_config_of", config_of)
    monkeypatch.setattr(comparison, "_num_steps", lambda _: 1)
    monkeypatch.setattr(comparison, "_train_and_score", score)
    monkeypatch.setattr(comparison.Truth, "dataset_of", staticmethod(lambda _: dataset))


def test_means_gains_and_a_picture_of_several_seeds(tmp_path, scored):
    teacher = Entry("teacher", "teacher.py", seed=0)
    found = compare([teacher, *STUDENTS], tmp_path, seeds=[0, 1], metrics=["AP", "AP75"])
    results = found.results
    assert json.loads((tmp_path / "results.json").read_text()).keys() == results.keys()
    assert list(results) == ["teacher", "plain_seed0", "taught_seed0", "plain_seed1", "taught_seed1"]
    lines = (tmp_path / "table.txt").read_text().splitlines()
    mean = 50 * (results["taught_seed0"]["AP"] + results["taught_seed1"]["AP"])
    plain = 50 * (results["plain_seed0"]["AP"] + results["plain_seed1"]["AP"])
    assert lines[0].split() == ["AP", "AP75", "gain", "in", "AP"] and "±" not in lines[2]
    assert f" {mean:.1f} ± " in lines[4] and lines[4].endswith(str(found.gains["taught"]))
    assert list(found.gains) == ["taught"] and 100 * found.gains["taught"].mean == pytest.approx(mean - plain)
    assert lines[3].split()[-1] == "-" and "2 seeds" in lines[-1]
    assert (tmp_path / "comparison.png").is_file() and (tmp_path / "gains.png").is_file()


def test_bars_are_gains_in_percent_beside_their_label(tmp_path):
    def gain(mean):
        return Gain(mean, None, mean - 0.01, mean + 0.02, 0.95, 1)

    bars = {"AP50": {"ld": gain(0.03), "both": gain(-0.01)}, "AP90": {"both": gain(0.05)}}
    axis = figures.make_figure(4, 3).subplots()
    comparison_pictures._draw_bars(axis, bars)
    assert [label.get_text() for label in axis.get_yticklabels()] == ["AP50", "AP90"]
    assert [label.get_text() for label in axis.get_legend().get_texts()] == ["ld", "both"]
    drawn = [(bar.get_width(), round(bar.get_y() + bar.get_height() / 2, 1)) for bar in axis.patches]
    assert drawn == [(pytest.approx(3), 1.2), (pytest.approx(-1), 0.8), (pytest.approx(5), -0.2)]
    file = draw_gains(
        {"one": bars, "other": {"a": {"": gain(0)}}, "third": bars}, tmp_path / "a.png", "gain", 2
    )
    assert cv2.imread(str(file)).shape[1] == 900


def test_a_finished_run_is_scored_again_and_not_trained(tmp_path, monkeypatch):
    trained = []

    class Trainer:
        def __init__(self, config, resume):
            self.config = config

        def run(self, task):
            trained.append(task)
            (tmp_path / "run" / "checkpoints").mkdir(parents=True)
            (tmp_path / "run" / "checkpoints" / "last.pkl").write_bytes(b"")
            dump_config(self.config, tmp_path / "run" / "config.py")

    def detections(config, dataset):
        rng = np.random.default_rng(0)
        for truth in dataset.ground_truth():
            boxes = truth["boxes"] + rng.normal(0, 3, truth["boxes"].shape)
            yield Detections(truth["img_id"], rng.random(len(boxes)), truth["labels"], boxes=boxes)

    monkeypatch.setattr(comparison, "Runner", Trainer)
    monkeypatch.setattr(comparison, "_detections", detections)

    def score(**changes):
        data = {"type": "DrawnDataset", "num_images": 6, "image_size": 64, **changes}
        config = fill_defaults(
            {"model": {"type": "GFL"}, "dataset": {"val": data}, "seed": changes.pop("seed", 0)}
        )
        return comparison._train_and_score(Config({**config, "work_dir": str(tmp_path / "run")}))

    coco = score()
    assert score() == coco and trained == ["train"]
    voc = score(evaluator="VocEvaluator")
    assert trained == ["train"] and voc["protocol"] == "VOC07" and coco["protocol"] == "COCO"
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["protocol"] == "VOC07"


def test_a_single_seed_says_what_its_interval_leaves_out(tmp_path, scored):
    compare(STUDENTS, tmp_path)
    assert (tmp_path / "gains.png").is_file()
    assert "another seed" in (tmp_path / "table.txt").read_text().splitlines()[-1]


def test_a_score_that_is_not_the_evaluators_is_taken_as_it_was_measured(tmp_path, scored):
    found = compare(STUDENTS, tmp_path, metrics=["AP"])
    truth = comparison.Truth(None, tmp_path, found.results)
    every, first = np.ones(12, np.int64), np.eye(12, dtype=np.int64)[0]
    score = truth.score("plain_seed0")
    assert score(every) == pytest.approx(found.results["plain_seed0"]["AP"], abs=1e-6) != score(first)
    truth.results = {"plain_seed0": {"protocol": "COCO", "AP": 0.9}}
    assert truth.score("plain_seed0")(every) == truth.score("plain_seed0")(first) == 0.9


def test_a_reader_of_the_last_results_keeps_them_whole(tmp_path, scored):
    for name in ("table.txt", "results.json"):
        (tmp_path / name).write_text("of the last comparison")
    with (tmp_path / "table.txt").open() as table, (tmp_path / "results.json").open() as results:
        compare([Entry("plain", "plain.py")], tmp_path)
        assert not (tmp_path / "gains.png").exists()  # nothing is compared
        assert table.read() == results.read() == "of the last comparison"
    assert json.loads((tmp_path / "results.json").read_text())["plain_seed0"]["protocol"] == "COCO"
