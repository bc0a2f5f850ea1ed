"""VOC average precision: hand-computed cases, and the numbers of mmDetection."""

import re

import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.errors import ConfigError, DataError
from jld.evaluation import VocEvaluator
from jld.evaluation.voc import average_precision, precision_recall
from tests import golden_cases as golden
from tests.evaluation.cases import crowd_case, detected, golden_records, truth

# IoU with (0, 0, 10, 10): itself 1, 0.8, 0.6 and 1/3.
EXACT, GOOD, FAIR, POOR = (0, 0, 10, 10), (0, 0, 10, 8), (0, 0, 10, 6), (0, 5, 10, 15)


def test_hand_computed_curve():
    # Five boxes; by score: hit, hit, error, hit, error, hit.
    hits = np.array([1, 1, 0, 1, 0, 1], bool)
    precision, recall = precision_recall(hits, ~hits, 5)
    np.testing.assert_allclose(precision, [1, 1, 2 / 3, 3 / 4, 3 / 5, 4 / 6])
    np.testing.assert_allclose(recall, [0.2, 0.4, 0.4, 0.6, 0.6, 0.8])
    # Recall 3/5 is below the seventh point, 0.6000000000000001: five points at 1, one at .75, three at 2/3.
    assert average_precision(precision, recall, "07") == pytest.approx((5 + 0.75 + 3 * 2 / 3) / 11)
    assert average_precision(precision, recall, "area") == pytest.approx(0.2 + 0.2 + 0.2 * 0.75 + 0.2 * 4 / 6)


@pytest.mark.parametrize("metric", ["07", "area"])
def test_thresholds_and_means(metric):
    # One class found exactly, one at IoU 0.8, one without ground truth.
    far = (100, 100, 110, 110)
    found = [detected(1, [EXACT, (100, 100, 110, 108)], [0.9, 0.8], [0, 1])]
    metrics = VocEvaluator(metric)(found, [truth(1, [EXACT, far], [0, 1])], ("a", "b", "c"))
    assert metrics["AP50"] == metrics["AP80"] == pytest.approx(1)
    assert metrics["AP85"] == metrics["AP95"] == pytest.approx(0.5)
    assert metrics["AP"] == pytest.approx((7 * 1 + 3 * 0.5) / 10)
    assert metrics["per_class"]["b"]["AP"] == pytest.approx(0.7)
    assert metrics["per_class"]["c"] == {
        **{f"AP{50 + 5 * step}": -1 for step in range(10)},
        **{"AP": -1, "num_gts": 0, "num_detections": 0},
    }
    assert metrics["protocol"] == {"07": "VOC07", "area": "VOC area"}[metric]


def test_second_detection_of_a_box_is_an_error():
    found = [detected(1, [EXACT, GOOD], [0.9, 0.8], [0, 0])]
    metrics = VocEvaluator("area", [0.5])(found, [truth(1, [EXACT, (50, 50, 60, 60)], [0, 0])], ("a",))
    # Hit at recall 1/2, then an error, and the second box is never found.
    assert metrics["AP50"] == pytest.approx(0.5)
    assert metrics["per_class"]["a"]["num_gts"] == 2
    assert metrics["per_class"]["a"]["num_detections"] == 2


def test_loser_does_not_take_another_box():
    # Both detections overlap the first box most; the second would also pass with the other box, but VOC lets
    # each ask only for its favourite.
    boxes = [(0, 0, 10, 10), (0, 2, 10, 12)]
    found = [detected(1, [(0, 0, 10, 10), (0, 0.5, 10, 10.5)], [0.9, 0.8], [0, 0])]
    metrics = VocEvaluator("area", [0.5])(found, [truth(1, boxes, [0, 0])], ("a",))
    assert metrics["AP50"] == pytest.approx(0.5)


def test_threshold_is_inclusive():
    half = (0, 0, 10, 5)
    scores = VocEvaluator("07", [0.5])([detected(1, [half], [0.9], [0])], [truth(1, [EXACT], [0])], ("a",))
    assert scores["AP50"] == pytest.approx(1)


def test_difficult_boxes_count_for_nothing():
    boxes, labels = [EXACT, (50, 50, 60, 60)], [0, 0]
    asked_twice = detected(1, [(50, 50, 60, 60), (50, 50, 60, 59), EXACT], [0.9, 0.85, 0.8], [0, 0, 0])
    metrics = VocEvaluator("area", [0.5])(
        [asked_twice], [truth(1, boxes, labels, difficult=[False, True])], ("a",)
    )
    assert metrics["AP50"] == pytest.approx(1)
    assert metrics["per_class"]["a"]["num_gts"] == 1
    # Without the flag the higher ranked second detection of the same box is an error.
    metrics = VocEvaluator("area", [0.5])([asked_twice], [truth(1, boxes, labels)], ("a",))
    assert metrics["AP50"] == pytest.approx(0.5 + 0.5 * 2 / 3)


def test_crowds_count_for_nothing():
    found, ground_truth = crowd_case()
    assert VocEvaluator("area", [0.5])(found, ground_truth, ("a",))["AP50"] == pytest.approx(1)


def test_only_difficult_boxes_leave_the_class_out():
    ground_truth = [truth(1, [EXACT, EXACT], [0, 1], difficult=[True, False])]
    found = [detected(1, [POOR, EXACT], [0.9, 0.8], [0, 1])]
    metrics = VocEvaluator("07", [0.5])(found, ground_truth, ("a", "b"))
    assert metrics["per_class"]["a"]["AP50"] == -1
    assert metrics["AP50"] == pytest.approx(1)


def test_equal_scores_keep_the_order_of_the_images():
    ground_truth = [truth(1, [EXACT], [0]), truth(2, [], [])]
    hit, error = detected(1, [EXACT], [0.5], [0]), detected(2, [EXACT], [0.5], [0])
    evaluate = VocEvaluator("area", [0.5])
    assert evaluate([hit, error], ground_truth, ("a",))["AP50"] == pytest.approx(1)
    # The order of the ground truth decides, not that of the detections.
    assert evaluate([error, hit], ground_truth, ("a",))["AP50"] == pytest.approx(1)
    assert evaluate([hit, error], ground_truth[::-1], ("a",))["AP50"] == pytest.approx(0.5)


@pytest.mark.parametrize("found", [[], [detected(1, [], [], [])]], ids=["no entry", "no box"])
def test_no_detections(found):
    metrics = VocEvaluator()(found, [truth(1, [EXACT], [0])], ("a", "b"))
    assert (metrics["AP"], metrics["AP50"], metrics["per_class"]["a"]["AP75"]) == (0, 0, 0)
    assert metrics["per_class"]["b"]["AP"] == -1


@pytest.mark.parametrize("ground_truth", [[], [truth(1, [], [])]], ids=["no image", "no box"])
def test_no_ground_truth(ground_truth):
    found = [detected(1, [EXACT], [0.9], [0])] if ground_truth else []
    metrics = VocEvaluator()(found, ground_truth, ("a",))
    assert metrics["AP"] == metrics["AP50"] == -1


def test_order_of_detections_does_not_matter():
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 80, (40, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 40, (40, 2))], 1)
    ground_truth = [truth(1, boxes[:12], rng.integers(0, 3, 12))]
    jittered, labels, scores = boxes + rng.normal(0, 2, boxes.shape), rng.integers(0, 3, 40), rng.random(40)
    order = rng.permutation(40)
    evaluate = VocEvaluator()
    first = evaluate([detected(1, jittered, scores, labels)], ground_truth, ("a", "b", "c"))
    second = evaluate(
        [detected(1, jittered[order], scores[order], labels[order])], ground_truth, ("a", "b", "c")
    )
    assert first == second
    assert 0 < first["AP50"] < 1


@pytest.mark.parametrize(
    ("found", "ground_truth", "message"),
    [
        ([detected(7, [EXACT], [0.9], [0])], [truth(1, [EXACT], [0])], "image 7, which is not among the 1"),
        ([detected(1, [EXACT], [0.9], [2])], [truth(1, [EXACT], [0])], r"labels 2, outside 0\.\.1"),
        ([], [truth(1, [EXACT], [-1])], r"gt_labels -1, outside 0\.\.1"),
        ([], [truth(1, [EXACT], [0], areas=[9, 9])], "different lengths"),
        (
            [Detections(1, [0.9], [0], rboxes=[[5, 5, 9, 9, 0]])],
            [truth(1, [EXACT], [0])],
            "use DotaEvaluator",
        ),
        ([detected(1, [EXACT], [np.nan], [0])], [truth(1, [EXACT], [0])], "not finite"),
        ([detected(1, [], [], [])] * 2, [truth(1, [EXACT], [0])], "detections hold image 1 twice"),
        ([], [truth(1, [EXACT], [0])] * 2, "ground truth hold image 1 twice"),
    ],
)
def test_wrong_data(found, ground_truth, message):
    with pytest.raises(DataError, match=message):
        VocEvaluator()(found, ground_truth, ("a", "b"))


def test_wrong_settings():
    with pytest.raises(ConfigError, match="metric is '12'; known are: 07, area"):
        VocEvaluator("12")
    with pytest.raises(ConfigError, match="IoU thresholds above 0"):
        VocEvaluator("07", [50])


@pytest.mark.golden
@pytest.mark.parametrize("name", golden.param_cases("h_eval"))
def test_golden(name):
    _, arrays = golden.case(name)
    found, ground_truth, num_classes = golden_records(arrays)
    classes = [str(label) for label in range(num_classes)]
    metrics_of = {"voc07": "07", "area": "area"}
    seen = 0
    for key, expected in arrays.items():
        parts = re.fullmatch(r"out/(voc07|area)/([\d.]+)/(ap|mAP|num_dets|num_gts)", key)
        if parts is None:
            assert key.startswith(("in/", "out/coco/")), f"{name}: {key} is not understood"
            continue
        kind, threshold, what = parts.groups()
        metrics = VocEvaluator(metrics_of[kind], [float(threshold)])(found, ground_truth, classes)
        score = f"AP{100 * float(threshold):g}"
        rows = list(metrics["per_class"].values())
        ours = {
            "mAP": metrics[score],
            "ap": [row[score] for row in rows],
            "num_dets": [row["num_detections"] for row in rows],
            "num_gts": [row["num_gts"] for row in rows],
        }[what]
        counted = (
            np.ones(num_classes, bool) if what != "ap" else np.array([row["num_gts"] > 0 for row in rows])
        )
        ours = np.asarray(ours, np.float64)
        if ours.ndim and what == "ap":
            ours, expected = ours[counted], expected[counted]
        np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6, err_msg=key)
        seen += 1
    assert seen >= 8
