"""Scores and results of a task, and what a project's own dataset changes about them."""

import json

from jld.boxes.detections import Detections
from jld.data import DrawnDataset
from jld.data.classes import COCO_CLASSES
from jld.runner import tasks

METRICS = {"AP": 0.25, "AP50": 0.5, "per_class": {}, "protocol": "COCO"}
ROW = "ld-coco-r18-from-r101-1x"


class OwnFormat(DrawnDataset):
    """A project's dataset: its results are lines of text."""

    def write_results(self, detections, folder):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "lines.txt"
        path.write_text("".join(f"{found.img_id} {len(found)}\n" for found in detections))
        return path


def test_an_inherited_row_is_not_shown_beside_other_data():
    dataset = DrawnDataset(num_images=2, image_size=32)
    text = tasks.metrics_table(METRICS, {"row": ROW}, dataset)
    assert text.count("\n") == tasks.metrics_table(METRICS, None, dataset).count("\n") + 1
    assert "36.5" not in text and f"published row {ROW} is not shown: it was scored on COCO val2017" in text
    dataset.classes = COCO_CLASSES
    assert "2 images" in tasks.metrics_table(METRICS, {"row": ROW}, dataset).splitlines()[-1]


def test_a_row_is_shown_beside_its_own_data():
    dataset = DrawnDataset(num_images=1, image_size=32)
    dataset.table = dataset.table.take([0] * 5000)
    dataset.classes = COCO_CLASSES
    text = tasks.metrics_table(METRICS, {"row": ROW}, dataset)
    assert "36.5" in text and "not shown" not in text


def test_metrics_stand_beside_what_the_dataset_writes(tmp_path):
    found = [Detections(1, [0.5, 0.25], [0, 3], boxes=[[1, 2, 3, 4], [5, 6, 7, 8]])]
    plain = DrawnDataset(num_images=2, image_size=32)
    path = tasks.write_results(tmp_path / "a", plain, found, METRICS, {"split": "val"})
    assert path == tmp_path / "a" / "detections.json"
    assert json.loads(path.read_text())["images"][0]["labels"] == [0, 3]
    metrics = json.loads((tmp_path / "a" / "metrics.json").read_text())
    assert metrics["AP"] == 0.25 and metrics["run"] == {"split": "val", "benchmark": None, "images": 2}
    own = OwnFormat(num_images=2, image_size=32)
    path = tasks.write_results(tmp_path / "b", own, found, None, {})
    assert path.read_text() == "1 2\n" and not (tmp_path / "b" / "metrics.json").exists()


def test_example_pictures_show_detections_above_the_ground_truth():
    dataset = DrawnDataset(num_images=3, image_size=64).first(2)
    first, second = dataset.image_ids
    box = [[4, 4, 40, 40]]
    strong, weak = (Detections(first, [score], [0], boxes=box) for score in (0.9, 0.1))
    other = Detections("of another image", [0.9], [0], boxes=box)
    shown = tasks.example_pictures([strong, other], dataset)
    assert list(shown) == [f"val/{first}", f"val/{second}"]
    hidden = tasks.example_pictures([weak], dataset)
    assert (shown[f"val/{first}"] != hidden[f"val/{first}"]).any()
    assert (shown[f"val/{second}"] == hidden[f"val/{second}"]).all()
    assert tasks.example_pictures([other], dataset) == {}  # patches that were joined, for instance
