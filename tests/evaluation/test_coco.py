"""COCO statistics through pycocotools."""

import numpy as np
import pytest

from jld.errors import ConfigError, DataError
from jld.evaluation import CocoEvaluator
from jld.evaluation.coco import STATISTICS
from tests import golden_cases as golden
from tests.evaluation.cases import crowd_case, detected, golden_records, truth

EXACT = (0, 0, 40, 40)


def test_one_box_found_with_iou_08():
    found = [detected(1, [(0, 0, 40, 32)], [0.9], [0])]
    metrics = CocoEvaluator()(found, [truth(1, [EXACT], [0])], ("a", "b"))
    # Found at 0.50, 0.55, ..., 0.80: seven of ten thresholds, with precision 1 at every recall.
    assert metrics["AP"] == pytest.approx(0.7)
    assert metrics["AP50"] == metrics["AP75"] == pytest.approx(1)
    assert [metrics[name] for name in ("AR", "AR1", "AR10")] == pytest.approx([0.7] * 3)
    # 40 x 40 px is medium: 32^2 <= 1600 < 96^2.
    assert [metrics["APm"], metrics["ARm"]] == pytest.approx([0.7, 0.7])
    assert metrics["APs"] == metrics["APl"] == -1
    assert metrics["per_class"]["a"] == pytest.approx({"AP": 0.7, "AP50": 1.0, "AP75": 1.0})
    assert metrics["per_class"]["b"] == {"AP": -1, "AP50": -1, "AP75": -1}
    assert metrics["protocol"] == "COCO"
    assert set(STATISTICS) < set(metrics)


def test_size_comes_from_the_annotation():
    # A thin object in a large box is small by its mask's area.
    found = [detected(1, [EXACT], [0.9], [0])]
    metrics = CocoEvaluator()(found, [truth(1, [EXACT], [0], areas=[100])], ("a",))
    assert (metrics["APs"], metrics["APm"]) == (pytest.approx(1), -1)


def test_error_before_the_hit_halves_precision():
    found = [detected(1, [(100, 100, 140, 140), EXACT], [0.9, 0.8], [0, 0])]
    assert CocoEvaluator()(found, [truth(1, [EXACT], [0])], ("a",))["AP"] == pytest.approx(0.5)


@pytest.mark.parametrize("flag", ["crowd", "difficult"])
def test_ignored_boxes_count_for_nothing(flag):
    found, ground_truth = crowd_case()
    boxes, labels = ground_truth[0]["boxes"], ground_truth[0]["labels"]
    marked = [truth(1, boxes, labels, **{flag: [False, True]})]
    assert CocoEvaluator()(found, marked, ("a",))["AP"] == pytest.approx(1)
    # As an ordinary box it is found up to IoU 0.75 (80^2 / 90^2 = 0.79).
    ordinary = CocoEvaluator()(found, [truth(1, boxes, labels)], ("a",))
    assert ordinary["AP50"] == pytest.approx(1)
    assert ordinary["AP"] < 0.9


def test_several_detections_may_lie_in_one_crowd():
    found = [detected(1, [(100, 100, 120, 120), (150, 150, 170, 170), EXACT], [0.9, 0.8, 0.7], [0, 0, 0])]
    ground_truth = [truth(1, [EXACT, (100, 100, 190, 190)], [0, 0], crowd=[False, True])]
    assert CocoEvaluator()(found, ground_truth, ("a",))["AP"] == pytest.approx(1)


def test_detection_limits():
    spread = [(50 * k, 0, 50 * k + 40, 40) for k in range(4)]
    found = [detected(1, spread, [0.9, 0.8, 0.7, 0.6], [0] * 4)]
    metrics = CocoEvaluator()(found, [truth(1, spread, [0] * 4)], ("a",))
    assert metrics["AR1"] == pytest.approx(0.25)
    assert metrics["AR10"] == metrics["AR"] == pytest.approx(1)
    many = [detected(1, [(500, 500, 510, 510)] * 20 + [EXACT], np.linspace(1, 0.5, 21), [0] * 21)]
    assert CocoEvaluator(max_detections=20)(many, [truth(1, [EXACT], [0])], ("a",))["AR"] == 0
    assert CocoEvaluator(max_detections=21)(many, [truth(1, [EXACT], [0])], ("a",))["AR"] == pytest.approx(1)


@pytest.mark.parametrize("found", [[], [detected(1, [], [], [])]], ids=["no entry", "no box"])
def test_no_detections(found):
    metrics = CocoEvaluator()(found, [truth(1, [EXACT], [0])], ("a",))
    assert (metrics["AP"], metrics["AP50"], metrics["AR"]) == (0, 0, 0)
    assert metrics["per_class"]["a"]["AP"] == 0


@pytest.mark.parametrize("ground_truth", [[], [truth(1, [], [])]], ids=["no image", "no box"])
def test_no_ground_truth(ground_truth):
    found = [detected(1, [EXACT], [0.9], [0])] if ground_truth else []
    metrics = CocoEvaluator()(found, ground_truth, ("a",))
    assert {metrics[name] for name in STATISTICS} == {-1}


def test_silent(capsys):
    CocoEvaluator()([detected(1, [EXACT], [0.9], [0])], [truth(1, [EXACT], [0])], ("a",))
    assert capsys.readouterr().out == ""


def test_image_ids_may_be_text():
    found = [detected("b/2", [EXACT], [0.9], [0])]
    metrics = CocoEvaluator()(found, [truth("a/1", [], []), truth("b/2", [EXACT], [0])], ("a",))
    assert metrics["AP"] == pytest.approx(1)


def test_wrong_input():
    with pytest.raises(DataError, match="image 3, which is not among"):
        CocoEvaluator()([detected(3, [], [], [])], [truth(1, [EXACT], [0])], ("a",))
    with pytest.raises(ConfigError, match="max_detections is 10; it must be above 10"):
        CocoEvaluator(max_detections=10)


@pytest.mark.golden
@pytest.mark.parametrize("name", golden.param_cases("h_eval"))
def test_golden(name):
    _, arrays = golden.case(name)
    found, ground_truth, num_classes = golden_records(arrays)
    metrics = CocoEvaluator()(found, ground_truth, [str(label) for label in range(num_classes)])
    ours = [metrics[key] for key in STATISTICS]
    np.testing.assert_allclose(ours, arrays["out/coco/stats"], rtol=0, atol=1e-6)
    means = [row["AP"] for row in metrics["per_class"].values() if row["AP"] >= 0]
    np.testing.assert_allclose(np.mean(means), metrics["AP"], atol=1e-6)
