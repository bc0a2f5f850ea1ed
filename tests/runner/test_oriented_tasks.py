"""Patches to whole images, flipped views, submission and pictures, with a detector that sees bright boxes."""

from __future__ import annotations

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.boxes.rotated import pairwise_poly_iou, rboxes_to_polys
from jld.data import DataLoader, DOTADataset, DrawnDataset, ImageDataset, RotatedResize
from jld.data.dota import (
    PolyAnnotation,
    SplitSettings,
    Views,
    find_images,
    split_dataset,
    write_label_file,
)
from jld.evaluation import DotaEvaluator, format_metrics
from jld.runner import tasks
from tests.submissions import read_submission

SHIPS = {
    "P1": [[60.0, 40.0, 40.0, 14.0, 0.5], [150.0, 100.0, 44.0, 12.0, 2.0], [40.0, 120.0, 30.0, 12.0, 1.2]],
    "P2": [[100.0, 70.0, 46.0, 16.0, 2.8]],
    "P3": [],
}


class BrightBoxes:
    """Finds bright rectangles in images; the larger, the surer, and `bonus` surer with every further call."""

    def __init__(self, bonus: float = 0.0):
        self.bonus, self.calls = bonus, 0

    def eval(self):
        self.calls = 0

    def __call__(self, images, image_shapes=None):
        self.calls += 1
        return images.numpy()

    def detect(self, images, batch):
        found = []
        for img_id, image, scale in zip(batch["img_ids"], images, batch["scale_factors"], strict=True):
            boxes = bright_boxes(image[0]) / [*scale, 1]
            scores = (boxes[:, 2] * boxes[:, 3] / 2000 + self.bonus * self.calls).astype(np.float32)
            labels = np.zeros(len(boxes), np.int64)
            found.append(Detections(img_id, scores, labels, rboxes=boxes))
        return found


def bright_boxes(image):
    count, pieces = cv2.connectedComponents((image > 100).astype(np.uint8))
    boxes = []
    for number in range(1, count):
        (x, y), (w, h), degrees = cv2.minAreaRect(np.argwhere(pieces == number)[:, ::-1].astype(np.float32))
        if w * h > 150:  # slivers of ships that a patch border cut
            boxes.append([x, y, w, h, math.radians(degrees)])
    return np.array(boxes, np.float64).reshape(-1, 5)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("ships") / "val"
    (folder / "images").mkdir(parents=True)
    (folder / "labelTxt").mkdir()
    for name, boxes in SHIPS.items():
        polys = rboxes_to_polys(np.array(boxes).reshape(-1, 5))
        image = np.zeros((160, 200, 3), np.uint8)
        for corners in polys.reshape(-1, 4, 2):
            cv2.fillPoly(image, [np.round(corners * 16).astype(np.int32)], (200, 200, 200), shift=4)
        cv2.imwrite(str(folder / "images" / f"{name}.png"), image)
        write_label_file(folder / "labelTxt" / f"{name}.txt", PolyAnnotation.of(polys, ["ship"] * len(boxes)))
    return folder


@pytest.fixture(scope="module", params=["jdet", "mmrotate"])
def patches(source, request) -> Path:
    target = source.parent / request.param
    settings = SplitSettings(120, 60, style=request.param, keep_empty=True)
    split_dataset(find_images([source]), target, settings, classes=("ship",))
    return target


def loader_of(folder, **options):
    return DataLoader(
        DOTADataset(str(folder), version="SSDD", filter_empty_gt=False, **options), batch_size=2
    )


def test_scores_are_those_of_whole_images(patches):
    metrics, detections = tasks.evaluate(BrightBoxes(), loader_of(patches), DotaEvaluator())
    assert [(found.img_id, len(found)) for found in detections] == [("P1", 3), ("P2", 1), ("P3", 0)]
    assert metrics["AP50"] == pytest.approx(1.0) and next(iter(metrics)) == "AP"
    assert metrics["per_class"]["ship"]["num_gts"] == 4
    # pieces of ships that a patch border cut are right in their patch, or count as errors there
    assert 0 < metrics["patch_AP50"] <= 1 and metrics["patch_AP"] > 0
    assert "patch_AP50" in format_metrics(metrics) and "patches" not in metrics["protocol"]


def test_without_labels_of_whole_images_the_protocol_says_so(patches, tmp_path):
    for name in ("images", "annfiles", "labels.pkl"):
        if (patches / name).exists():
            (tmp_path / name).symlink_to(patches / name)
    metrics, detections = tasks.evaluate(BrightBoxes(), loader_of(tmp_path), DotaEvaluator())
    assert "patch_AP50" not in metrics and metrics["protocol"].endswith("patches scored one by one")
    assert [record["img_id"] for record in detections] == ["P1", "P2", "P3"]


def test_images_without_a_readable_patch_count_as_missed(patches):
    dataset = loader_of(patches).dataset
    metrics, found = dataset.score([Detections(dataset.image_ids[0], [], [], polys=[])], DotaEvaluator())
    assert [each.img_id for each in found] == ["P1"] and metrics["per_class"]["ship"]["num_gts"] == 4


def test_whole_images_are_scored_as_they_are(source):
    metrics, detections = tasks.evaluate(BrightBoxes(), loader_of(source), DotaEvaluator())
    assert "patch_AP50" not in metrics and "patches" not in metrics["protocol"]
    assert metrics["AP50"] == pytest.approx(1.0) and len(detections) == 3


def test_a_slice_is_scored_on_its_own_images(patches):
    dataset = DOTADataset(str(patches), version="SSDD", filter_empty_gt=False).first(2)
    metrics, detections = tasks.evaluate(BrightBoxes(), DataLoader(dataset), DotaEvaluator())
    assert [found.img_id for found in detections] == ["P1"]
    assert metrics["per_class"]["ship"]["num_gts"] == 3


@pytest.mark.parametrize("flip", ["H", "V", "HV"])
@pytest.mark.parametrize("side", [None, 400])
def test_flipped_views_find_the_same_objects(source, flip, side):
    transforms = [RotatedResize(320, side)] if side else []
    loader = loader_of(source, transforms=transforms)
    # later calls are surer, so what is left comes from the mirrored views
    detections = tasks.predict(BrightBoxes(bonus=0.1), loader, views=Views((flip,)))
    plain = tasks.predict(BrightBoxes(), loader)
    for found, seen, (name, boxes) in zip(detections, plain, SHIPS.items(), strict=True):
        assert found.img_id == name and len(found) == len(boxes)
        if not boxes:
            continue
        overlaps = pairwise_poly_iou(found.polys, seen.corners())
        assert (overlaps.max(1) > 0.97).all() and found.scores.min() > seen.scores.max() - 0.2


def test_mirrored_images_keep_their_padding():
    images = np.arange(2 * 3 * 4 * 5, dtype=np.float32).reshape(2, 3, 4, 5)
    batch = {"images": images, "img_shapes": np.array([[4, 5], [2, 3]], np.float32)}
    flipped = Views().mirror(batch, "H")
    np.testing.assert_array_equal(flipped[0], images[0, :, :, ::-1])
    np.testing.assert_array_equal(flipped[1, :, :2, :3], images[1, :, :2, 2::-1])
    np.testing.assert_array_equal(flipped[1, :, 2:], images[1, :, 2:])
    np.testing.assert_array_equal(Views().mirror(batch, "HV")[0], images[0, :, ::-1, ::-1])


def test_submission_is_written_and_checked(patches, tmp_path):
    dataset = ImageDataset(str(patches / "images"), dataset_type="SSDD")
    detections = tasks.predict(BrightBoxes(), DataLoader(dataset))
    whole = dataset.to_whole(detections)
    path = tasks.write_results(tmp_path, dataset, whole, None, {})
    assert path == tmp_path / "Task1.zip"
    read = {record["img_id"]: record for record in read_submission(path, dataset.classes)}
    assert set(read) == {"P1", "P2"} and len(read["P1"]["scores"]) == 3
    overlaps = pairwise_poly_iou(read["P2"]["polys"], rboxes_to_polys(np.array(SHIPS["P2"])))
    assert overlaps.max() > 0.85
    with pytest.raises(Exception, match="a patch: merge first"):
        tasks.write_results(tmp_path, dataset, detections, None, {})


def test_names_no_submission_can_hold_are_written_plainly(tmp_path, caplog):
    cv2.imwrite(str(tmp_path / "pier 7.png"), np.zeros((60, 60, 3), np.uint8))
    dataset = ImageDataset(str(tmp_path), dataset_type="SSDD")
    found = [Detections("pier 7", [0.5], [0], polys=[[0, 0, 9, 0, 9, 9, 0, 9]])]
    path = tasks.write_results(tmp_path / "out", dataset, found, {"AP": 0.5}, {"split": "val"})
    assert json.loads(path.read_text())["images"][0]["img_id"] == "pier 7"
    assert (
        path.name == "detections.json" and json.loads((path.parent / "metrics.json").read_text())["AP"] == 0.5
    )
    assert "the name holds a space: 'pier 7'" in caplog.text


def test_pictures_show_the_direction_of_the_angle(source, tmp_path):
    dataset = DOTADataset(str(source), version="SSDD", filter_empty_gt=False)
    box = np.array([[100.0, 80.0, 60.0, 20.0, math.pi / 2]])
    pictures = {}
    for name, shapes in (("rboxes", box), ("polys", rboxes_to_polys(box))):
        found = Detections("P3", [0.9], [0], **{name: shapes})
        path = tasks.draw_detections([found], dataset, tmp_path / name)[0]
        pictures[name] = cv2.imread(str(path)).astype(int)
    differs = np.abs(pictures["rboxes"] - pictures["polys"]).max(2) > 40
    # 90 degrees clockwise point down: only the line from the centre to the edge below tells the two apart
    assert differs[86:104, 100].all() and not differs[:76].any() and not differs[:, :90].any()
    assert np.abs(pictures["polys"][60:100, 90]).max(1).min() > 60


def test_settings_of_views(source):
    oriented, upright = DOTADataset(str(source), version="SSDD"), DrawnDataset(num_images=1)
    assert upright.views() is None and oriented.views() == Views()
    assert oriented.views([], 0.15) == Views((), 0.15)
    both = oriented.views(["H"], {"ship": 0.2})
    assert both.flips == ("H",) and both.iou_threshold["ship"] == 0.2
