"""COCO's protocol in hotcoco: pycocotools' numbers, and rotated boxes."""

from dataclasses import replace

import numpy as np
import pytest

from jld.boxes.masks import from_bitmap
from jld.boxes.rotated.polygon_iou import pairwise_rbox_iou
from jld.errors import ConfigError
from jld.evaluation import CocoEvaluator, fast_coco
from tests import golden_cases as golden
from tests.evaluation.cases import detected, golden_masks, golden_records, truth

pytest.importorskip("hotcoco")
CLASSES = ("a", "b", "c", "never seen")


def scene(seed, num_images=12):
    """Random detections around random objects: crowds, difficult ones, equal scores, boxes without extent."""
    rng = np.random.default_rng(seed)
    found, ground_truth = [], []
    for image in range(num_images):
        count, num_found = rng.integers(0, 7), rng.integers(0, 40)
        corners = rng.uniform(0, 140, (count, 2))
        boxes = np.concatenate([corners, corners + rng.uniform(2, 110, (count, 2))], 1)
        labels = rng.integers(0, 3, count)
        flags = {"crowd": rng.random(count) < 0.2, "difficult": rng.random(count) < 0.1}
        areas = np.prod(boxes[:, 2:] - boxes[:, :2], 1) * rng.uniform(0.3, 1, count)
        ground_truth.append(truth(image, boxes, labels, areas=areas, **flags))
        near = boxes[rng.integers(0, count, num_found)] if count else rng.uniform(0, 200, (num_found, 4))
        near = near + rng.normal(0, 6, near.shape)
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2])
        scores = np.round(rng.random(num_found), 1)
        if image % 5:
            found.append(detected(image, near, scores, rng.integers(0, 3, num_found)))
    return found, ground_truth


def assert_equal(found, ground_truth, classes, **settings):
    expected, fast = (
        CocoEvaluator(backend=backend, **settings)(found, ground_truth, classes)
        for backend in ("pycocotools", "hotcoco")
    )
    assert fast.pop("per_class") == {
        name: pytest.approx(row, abs=1e-12, rel=0) for name, row in expected.pop("per_class").items()
    }
    assert fast.pop("protocol") == expected.pop("protocol")
    assert fast == pytest.approx(expected, abs=1e-12, rel=0)
    return fast


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("max_detections", [12, 100])
def test_random_scenes(seed, max_detections):
    metrics = assert_equal(*scene(seed), CLASSES, max_detections=max_detections)
    assert 0 < metrics["AP"] < 1 and metrics["AR1"] < metrics["AR"]


@pytest.mark.parametrize(
    ("found", "ground_truth", "classes"),
    [
        ([], [], CLASSES),
        ([], [], ()),
        ([], [truth(1, [], [])], CLASSES),
        ([], [truth(1, [(0, 0, 9, 9)], [0])], CLASSES),
        ([detected("x", [(0, 0, 9, 9)], [0.5], [1])], [truth("x", [], [])], CLASSES),
        ([detected(1, [(0, 0, 9, 9)], [0.5], [1])], [truth(1, [(0, 0, 9, 9)], [1], crowd=[True])], CLASSES),
    ],
    ids=["nothing", "no class", "no object", "nothing found", "nothing to find", "crowds alone"],
)
def test_edges(found, ground_truth, classes):
    assert_equal(found, ground_truth, classes)


def test_masks():
    rng = np.random.default_rng(0)
    found, ground_truth = scene(7)

    def rles(count):
        bitmaps = rng.random((count, 25, 20)) < rng.choice([0, 0.2, 0.7], (count, 1, 1))
        return [from_bitmap(bitmap.repeat(8, 0).repeat(10, 1).astype(np.uint8)) for bitmap in bitmaps]

    found = [replace(entry, masks=rles(len(entry))) for entry in found]
    ground_truth = [entry | {"masks": rles(len(entry["labels"]))} for entry in ground_truth]
    assert assert_equal(found, ground_truth, CLASSES, with_masks=True)["segm_AR"] >= 0


@pytest.mark.golden
def test_golden_cases():
    assert_equal(*golden_masks(*golden.case("t_eval_mask")), "0123", with_masks=True)
    for name in golden.cases("h_eval"):
        found, ground_truth, num_classes = golden_records(golden.case(name)[1])
        assert_equal(found, ground_truth, list(map(str, range(num_classes))))


def test_rotated_boxes_overlap_as_ours_do():
    true, found = np.array([[50, 40, 40, 20, 0.5]]), np.array([[52, 43, 44, 18, 0.9]])

    iou = pairwise_rbox_iou(true, found).item()
    record = {
        "rboxes": found, "scores": [0.9], "labels": [0],
        "gt_rboxes": true, "gt_labels": [0], "gt_areas": [800.0], "gt_is_ignored": [False],
    }  # fmt: skip
    precision = fast_coco.evaluated([record], ["ship"], "obb").eval["precision"][:, :, 0, 0, -1].mean(1)
    assert (precision > 0.99).tolist() == (np.arange(50, 100, 5) / 100 < iou).tolist()
    assert 0.55 < iou < 0.65


def test_within_a_training_the_fast_one_is_taken_unless_another_is_named(monkeypatch):
    assert CocoEvaluator().backend is None
    assert CocoEvaluator(with_masks=True).within_training().backend == "hotcoco"
    assert CocoEvaluator(backend="pycocotools").within_training().backend == "pycocotools"
    monkeypatch.setattr(fast_coco, "is_installed", lambda: False)
    assert CocoEvaluator().within_training().backend is None
    with pytest.raises(ConfigError, match=r'not installed: pip install "jld\[analysis\]"'):
        CocoEvaluator(backend="hotcoco")
