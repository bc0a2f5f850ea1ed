"""COCO statistics through pycocotools."""

from dataclasses import replace

import numpy as np
import pytest

from jld.boxes.masks import from_bitmap
from jld.errors import ConfigError, DataError
from jld.evaluation import CocoEvaluator
from jld.evaluation.coco import STATISTICS
from tests import golden_cases as golden
from tests.evaluation.cases import crowd_case, detected, golden_masks, golden_records, truth

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


def bar(width):
    """A mask of `width` x 40 px in an image of 200 x 200 px."""
    bitmap = np.zeros((200, 200), np.uint8)
    bitmap[:40, :width] = 1
    return from_bitmap(bitmap)


def with_masks(entry, *masks):
    return entry | {"masks": list(masks)} if isinstance(entry, dict) else replace(entry, masks=list(masks))


def test_masks_are_scored_beside_boxes():
    found = [with_masks(detected(1, [EXACT], [0.9], [0]), bar(32))]
    ground_truth = [with_masks(truth(1, [EXACT], [0], areas=[10000]), bar(40))]
    metrics = CocoEvaluator(with_masks=True)(found, ground_truth, ("a", "b"))
    # The box is exact; the mask is found at 0.50, 0.55, ..., 0.80. Sizes are the annotation's.
    assert (metrics["AP"], metrics["APl"]) == pytest.approx((1, 1))
    assert (metrics["segm_AP"], metrics["segm_APl"], metrics["segm_APs"]) == pytest.approx((0.7, 0.7, -1))
    assert metrics["per_class"]["a"] == pytest.approx(
        {"AP": 1, "AP50": 1, "AP75": 1, "segm_AP": 0.7, "segm_AP50": 1, "segm_AP75": 1}
    )
    nothing = CocoEvaluator(with_masks=True)([], [], ("a",))  # as asked before a training
    assert nothing["segm_AP"] == -1 and CocoEvaluator().best_metric == "AP"


def test_objects_without_a_mask_are_not_missed():
    found = [with_masks(detected(1, [EXACT], [0.9], [0]), bar(40))]
    both = [with_masks(truth(1, [EXACT, (100, 100, 140, 140)], [0, 0]), bar(40), bar(0))]
    metrics = CocoEvaluator(with_masks=True)(found, both, ("a",))
    assert metrics["segm_AP"] == pytest.approx(1) and metrics["AP"] < 0.6


def test_masks_that_are_not_there_or_do_not_fit():
    evaluate, plain = CocoEvaluator(with_masks=True), truth(1, [EXACT], [0])
    found = with_masks(detected(1, [EXACT], [0.9], [0]), bar(40))
    with pytest.raises(DataError, match="image 1 has no masks in its ground truth: set with_masks=True"):
        evaluate([found], [plain], ("a",))
    with pytest.raises(DataError, match="image 1 has detections without masks"):
        evaluate([detected(1, [EXACT], [0.9], [0])], [with_masks(plain, bar(40))], ("a",))
    with pytest.raises(DataError, match="image 1 has 2 masks and 1 boxes in its ground truth"):
        evaluate([found], [with_masks(plain, bar(40), bar(40))], ("a",))
    other = with_masks(found, from_bitmap(np.ones((100, 200), np.uint8)))
    with pytest.raises(DataError, match=r"has the size \[200, 200\].*one of its masks \[100, 200\]"):
        evaluate([other], [with_masks(plain, bar(40))], ("a",))


@pytest.mark.golden
def test_golden_masks():
    meta, arrays = golden.case("t_eval_mask")
    found, ground_truth = golden_masks(meta, arrays)
    metrics = CocoEvaluator(with_masks=True)(found, ground_truth, "0123")
    for prefix, key in (("", "bbox"), ("segm_", "segm")):
        ours = [metrics[prefix + name] for name in STATISTICS]
        # The file takes the area of its mask for a detection's box too; ours are sized by their boxes, as
        # those of a detector without masks are.
        is_same = np.array([key == "segm" or name not in ("APs", "APm", "APl") for name in STATISTICS])
        expected = arrays[f"out/{key}/stats"]
        np.testing.assert_allclose(np.array(ours)[is_same], expected[is_same], rtol=0, atol=1e-6)
        per_class = [row[f"{prefix}AP"] for row in metrics["per_class"].values()]
        expected = np.nan_to_num(arrays[f"out/{key}/class_ap"], nan=-1)
        np.testing.assert_allclose(per_class, expected, rtol=0, atol=1e-6)


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
