"""Suppression against the golden numbers and a brute-force loop."""

import numpy as np
import pytest

from jld.boxes.overlaps import pairwise_overlaps
from jld.errors import ConfigError
from jld.ops.nms import ClasswiseNMS, SoftNMS, VotingClusterNMS, nms, nms_mask, nms_picks
from jld.registry import SUPPRESSORS
from jld.toolchain import jittor as jt
from tests.golden_cases import case


def brute_force(boxes, scores, labels, iou_threshold):
    iou = pairwise_overlaps(boxes.astype(np.float64), boxes.astype(np.float64))
    kept = []
    for i in np.argsort(-scores, kind="stable"):
        if all(labels[i] != labels[j] or iou[i, j] <= iou_threshold for j in kept):
            kept.append(i)
    return kept


def random_boxes(count, seed):
    rng = np.random.default_rng(seed)
    corner, size = rng.uniform(0, 100, (count, 2)), rng.uniform(5, 60, (count, 2))
    boxes = np.concatenate([corner, corner + size], axis=1).astype(np.float32)
    return boxes, rng.random(count).astype(np.float32), rng.integers(0, 3, count)


def test_classwise_nms_equals_brute_force():
    boxes, scores, labels = random_boxes(300, 0)
    expected = brute_force(boxes, scores, labels, 0.5)
    assert 20 < len(expected) < 280
    assert nms(boxes, scores, 0.5, labels).tolist() == expected
    kept_boxes, kept_scores, kept_labels = ClasswiseNMS(0.5)(boxes, scores, labels, max_keep=7)
    np.testing.assert_array_equal(kept_boxes, boxes[expected[:7]])
    np.testing.assert_array_equal(kept_scores, scores[expected[:7]])
    np.testing.assert_array_equal(kept_labels, labels[expected[:7]])


def test_batched_mask_separates_images_and_skips_empty_slots():
    boxes, scores, _ = random_boxes(40, 1)
    order = np.argsort(-scores)
    sorted_boxes = boxes[order]
    groups = np.stack([np.zeros(40), np.where(np.arange(40) < 25, 0, -1)]).astype(np.int32)
    masks = nms_mask(jt.array(np.stack([sorted_boxes, sorted_boxes])), jt.array(groups), 0.4).numpy()
    for mask, count in zip(masks, (40, 25), strict=True):
        expected = np.zeros(40, int)
        expected[brute_force(sorted_boxes[:count], -np.arange(count), np.zeros(count), 0.4)] = 1
        np.testing.assert_array_equal(mask, expected)


def test_picks_are_the_first_kept_boxes():
    boxes = jt.array(np.stack([random_boxes(40, seed)[0] for seed in (1, 2)]))
    groups = jt.array(np.stack([np.arange(40) % 3, np.full(40, -1)]).astype(np.int32))
    kept = np.flatnonzero(nms_mask(boxes, groups, 0.4).numpy()[0])
    for count in (5, 40):
        picks = nms_picks(boxes, groups, 0.4, count).numpy()
        found = min(count, len(kept))
        np.testing.assert_array_equal(picks[0, :found], kept[:found])
        assert (picks[0, found:] == 40).all() and (picks[1] == 40).all()


@pytest.mark.parametrize("suppressor", [ClasswiseNMS(), SoftNMS(), VotingClusterNMS()])
def test_no_candidate_gives_no_detection(suppressor):
    boxes, scores, labels = suppressor(
        np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), 5
    )
    assert boxes.shape == (0, 4) and scores.shape == (0,) and labels.shape == (0,)


def test_plain_and_soft_nms_equal_golden():
    meta, arrays = case("h_boxes")
    note = next(note for note in meta["notes"] if note.startswith("plain"))
    assert (
        "nms on scores[:, 0], IoU 0.5" in note and "iou_threshold 0.3, sigma 0.5, min_score 0.05" in note
    ), note
    boxes, scores = arrays["in/nms/boxes"], arrays["in/nms/scores"]
    for name, offset in (("plain", 0), ("plain_offset1", 1)):
        assert nms(boxes, scores[:, 0], 0.5, offset=offset).tolist() == arrays[f"out/{name}/inds"].tolist()
    methods = sorted(
        key.split("/")[1] for key in arrays if key.startswith("out/soft") and key.endswith("inds")
    )
    for name in methods:
        soft = SoftNMS(0.3, 0.5, 0.05, name.removeprefix("soft_"))
        kept_boxes, kept_scores, _ = soft(boxes, scores[:, 1], np.zeros(len(boxes), int))
        expected = arrays[f"out/{name}/dets"]
        np.testing.assert_allclose(np.column_stack([kept_boxes, kept_scores]), expected, rtol=1e-4, atol=1e-5)


def test_multiclass_and_voting_nms_equal_golden():
    meta, arrays = case("h_boxes")
    all_boxes, all_scores = arrays["in/nms/boxes"], arrays["in/nms/scores"]
    for name, settings in meta["nms"].items():
        suppressor = SUPPRESSORS.get(settings["cfg"]["type"])(settings["cfg"]["iou_threshold"])
        # The last column is the background.
        rows, labels = np.nonzero(all_scores[:, :-1] > settings["score_thr"])
        boxes, scores, kept_labels = suppressor(
            all_boxes[rows], all_scores[rows, labels], labels, settings["max_num"]
        )
        expected = arrays[f"out/{name}/boxes"]
        np.testing.assert_array_equal(kept_labels, arrays[f"out/{name}/labels"])
        np.testing.assert_allclose(scores, expected[:, 4], atol=1e-5)
        # The reference shifts boxes by thousands of pixels per class before it compares them.
        np.testing.assert_allclose(boxes, expected[:, :4], rtol=1e-4, atol=1e-3)


def test_voting_moves_the_box_towards_what_it_covers():
    boxes = np.float32([[0, 0, 10, 10], [0, 0, 10, 9], [40, 40, 50, 50]])
    kept, scores, _ = VotingClusterNMS(0.6)(boxes, np.float32([0.9, 0.8, 0.7]), np.zeros(3, int))
    assert scores.tolist() == pytest.approx([0.9, 0.7])
    criterion = 0.9 - (0.25 / 200) ** 0.8
    weight = 0.8 * np.exp(-((1 - criterion) ** 2) / 0.025)
    np.testing.assert_allclose(kept[0], [0, 0, 10, (0.9 * 10 + weight * 9) / (0.9 + weight)], rtol=1e-5)
    np.testing.assert_array_equal(kept[1], boxes[2])


def test_unknown_soft_method_is_named():
    with pytest.raises(ConfigError, match="gaussian"):
        SoftNMS(method="gauss")
