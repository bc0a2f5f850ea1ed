"""Suppression of rotated boxes against a brute-force loop and the reference's numbers."""

import numpy as np
import pytest

from jld.boxes.rotated import nms_polys, pairwise_rbox_iou, rboxes_to_polys
from jld.ops.rotated_nms import RotatedClasswiseNMS, rotated_nms, rotated_nms_mask
from jld.registry import SUPPRESSORS
from jld.toolchain import jittor as jt
from tests.golden_cases import case
from tests.ops.rotated_scenes import random_rboxes


def brute_force(boxes, scores, labels, iou_threshold):
    iou = pairwise_rbox_iou(boxes, boxes)
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        if all(labels[i] != labels[j] or iou[i, j] <= iou_threshold for j in kept):
            kept.append(i)
    return kept


def random_scene(count, seed, extent=200):
    rng = np.random.default_rng(seed)
    scores = rng.random(count).astype(np.float32)
    return random_rboxes(rng, count, extent), scores, rng.integers(0, 3, count)


@pytest.mark.parametrize("threshold", [0.1, 0.5])
def test_classwise_suppression_equals_brute_force(threshold):
    boxes, scores, labels = random_scene(300, 0, extent=20)
    expected = brute_force(boxes, scores, labels, threshold)
    assert 50 < len(expected) < 270
    assert rotated_nms(boxes, scores, threshold, labels).tolist() == expected
    for count in (1, 7, len(expected), 300):
        assert rotated_nms(boxes, scores, threshold, labels, max_keep=count).tolist() == expected[:count]
    kept_boxes, kept_scores, kept_labels = RotatedClasswiseNMS(threshold)(boxes, scores, labels, max_keep=7)
    np.testing.assert_array_equal(kept_boxes, boxes[expected[:7]])
    np.testing.assert_array_equal(kept_scores, scores[expected[:7]])
    np.testing.assert_array_equal(kept_labels, labels[expected[:7]])


def test_batched_mask_separates_images_and_skips_empty_slots():
    boxes, scores, _ = random_scene(40, 1, extent=80)
    ordered = boxes[np.argsort(-scores)]
    groups = np.stack([np.zeros(40), np.where(np.arange(40) < 25, 0, -1)]).astype(np.int32)
    masks = rotated_nms_mask(jt.array(np.stack([ordered, ordered])), jt.array(groups), 0.3).numpy()
    for mask, count in zip(masks, (40, 25), strict=True):
        expected = np.zeros(40, int)
        expected[brute_force(ordered[:count], -np.arange(count), np.zeros(count), 0.3)] = 1
        np.testing.assert_array_equal(mask, expected)


def test_many_boxes_equal_polygon_suppression():
    boxes, scores, labels = random_scene(5000, 2, extent=1000)
    expected = nms_polys(rboxes_to_polys(boxes), scores, 0.1, labels)
    assert rotated_nms(boxes, scores, 0.1, labels).tolist() == expected.tolist()


def test_no_candidate_gives_no_detection():
    suppressor = SUPPRESSORS.get("nms_rotated")()
    boxes, scores, labels = suppressor(
        np.zeros((0, 5), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), 5
    )
    assert boxes.shape == (0, 5) and scores.shape == (0,) and labels.shape == (0,)


@pytest.mark.golden
def test_suppression_keeps_what_the_reference_keeps():
    """`nms_labels` is the reference's CPU operator, which takes labels and does not look at them."""
    _, arrays = case("s_nms_rotated")
    versions = sorted({key.split("/")[1] for key in arrays if key.startswith("in/")})
    assert versions
    for version in versions:
        boxes, scores = arrays[f"in/{version}/boxes"], arrays[f"in/{version}/scores"][:, 0]
        names = sorted({key.split("/")[2] for key in arrays if key.startswith(f"out/{version}/nms")})
        assert {"nms_ccw", "nms_labels"} < set(names)
        for name in names:
            threshold = float(name[3:]) if name[3].isdigit() else 0.3
            sign = np.float32([1, 1, 1, 1, -1 if name == "nms_ccw" else 1])
            kept = rotated_nms(boxes * sign, scores, threshold)
            np.testing.assert_array_equal(kept, arrays[f"out/{version}/{name}/keep"])
            expected = arrays[f"out/{version}/{name}/dets"]
            np.testing.assert_allclose(np.column_stack([boxes[kept], scores[kept]]), expected, atol=1e-4)


@pytest.mark.golden
def test_multiclass_suppression_equals_the_references():
    meta, arrays = case("s_nms_rotated")
    versions = sorted({key.split("/")[1] for key in arrays if key.startswith("in/")})
    for version in versions:
        all_boxes, all_scores = arrays[f"in/{version}/boxes"], arrays[f"in/{version}/scores"]
        for name, settings in meta["nms"].items():
            # The last column is the background.
            rows, labels = np.nonzero(all_scores[:, :-1] > settings["score_thr"])
            boxes, scores, kept_labels = RotatedClasswiseNMS(settings["iou_thr"])(
                all_boxes[rows], all_scores[rows, labels], labels, settings["max_num"]
            )
            np.testing.assert_array_equal(kept_labels, arrays[f"out/{version}/{name}/labels"])
            expected = arrays[f"out/{version}/{name}/dets"]
            np.testing.assert_allclose(np.column_stack([boxes, scores]), expected, atol=1e-4)


@pytest.mark.golden
def test_suppression_of_joined_views_equals_the_references():
    """Boxes with one label each, as after flips and several scales; the reference returns class by class."""
    meta, arrays = case("s_nms_rotated")
    settings = meta["nms"]["multi"]
    for version in sorted({key.split("/")[1] for key in arrays if key.startswith("in/")}):
        boxes, labels = arrays[f"in/{version}/boxes"], arrays[f"in/{version}/labels"]
        scores = arrays[f"in/{version}/scores"][:, 0]
        rows = np.flatnonzero(scores > settings["score_thr"])
        kept = rows[rotated_nms(boxes[rows], scores[rows], settings["iou_thr"], labels[rows])]
        kept = kept[np.argsort(labels[kept], kind="stable")]
        np.testing.assert_array_equal(labels[kept], arrays[f"out/{version}/aug/labels"])
        expected = arrays[f"out/{version}/aug/dets"]
        np.testing.assert_allclose(np.column_stack([boxes[kept], scores[kept]]), expected, atol=1e-4)
