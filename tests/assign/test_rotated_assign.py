"""Rotated anchors and their assignment against the reference, the method card and a loop over boxes."""

import re
from pathlib import Path

import numpy as np
import pytest

from jld.boxes.priors import AnchorGenerator
from jld.boxes.rotated import pairwise_rbox_iou, upright_rboxes
from jld.boxes.rotated.anchors import RotatedAnchorGenerator
from jld.errors import ConfigError
from jld.registry import build
from tests.assign.rotated_scenes import RETINA, rotated_scene, rotated_targets
from tests.golden_cases import case, fill
from tests.models.golden_models import assert_sampled
from tests.ops.rotated_scenes import random_rboxes

NUM_CLASSES = 20
OBB, HBB = ({"type": "RotatedOverlap", "upright": upright} for upright in (False, True))


def assigner(overlaps, **options):
    return build({"type": "MaxIoUAssigner", "overlaps": overlaps, **options})


def golden_sets():
    try:
        _, arrays = case("s_assigners")
    except pytest.skip.Exception:
        return [pytest.param("", marks=pytest.mark.skip(reason="no golden case s_assigners"))]
    return sorted(key.removeprefix("in/").removesuffix("/gt") for key in arrays if key.endswith("/gt"))


def golden_sizes(meta, arrays):
    """Feature sizes whose anchors are the file's; it tells the numbers of anchors per level only."""
    counts = arrays["in/num_level_anchors"] // RETINA.num_per_cell
    expected, k = arrays["out/anchors/sample"], meta["sampled"]["out/anchors"]["k"]
    for height in range(1, int(counts[0]) + 1):
        size = (height, int(counts[0]) // height)
        sizes = [tuple(-(-side // 2**level) for side in size) for level in range(len(counts))]
        if [a * b for a, b in sizes] != counts.tolist():
            continue
        boxes = RETINA.priors(sizes).boxes.numpy()[0]
        if np.allclose(boxes.ravel()[fill.sample_index(boxes.size, k)], expected, atol=1e-3):
            return sizes
    raise AssertionError("no feature size gives the anchors of the file")


@pytest.mark.golden
def test_anchors_equal_golden():
    meta, arrays = case("s_assigners")
    base = np.stack([RETINA.base_anchors(stride) for stride in RETINA.strides])
    np.testing.assert_allclose(base, arrays["out/base_anchors"], rtol=1e-5)
    boxes = RETINA.priors(golden_sizes(meta, arrays)).boxes.numpy()[0]
    assert_sampled(meta, arrays, "out/anchors", boxes, 1e-6)


def tied(prior_boxes, gts):
    """[P] priors that share a box's best overlap with others, as those do that contain a small box.

    The reference's float32 rounding makes some of them the only best; here all of them are.
    """
    ties = np.zeros(len(prior_boxes), bool)
    for row in pairwise_rbox_iou(gts, prior_boxes):
        best = row >= row.max() * (1 - 1e-6)
        ties |= best & (best.sum() > 1)
    return ties


@pytest.mark.golden
@pytest.mark.parametrize("name", golden_sets())
def test_golden_assignment(name):
    meta, arrays = case("s_assigners")
    sizes = golden_sizes(meta, arrays)
    pad_shape = [side * RETINA.strides[0] for side in sizes[0]]
    priors = RETINA.priors(sizes)
    targets = rotated_targets([arrays[f"in/{name}/gt"]], [pad_shape], [arrays[f"in/{name}/labels"]])
    got = assigner(OBB)(priors, targets, priors.valid_mask(targets.pad_shapes), NUM_CLASSES)
    prefix = f"out/{name}/"
    expected = {key.removeprefix(prefix): arrays[key] for key in arrays if key.startswith(prefix)}
    assert set(expected) == {"gt_inds", "assigned_labels", "max_overlaps", "fragile"}
    sure = ~(expected["fragile"] | tied(priors.boxes.numpy()[0], arrays[f"in/{name}/gt"]))
    assert sure.mean() > 0.9
    index = got.gt_index.numpy()[0]
    np.testing.assert_array_equal((index == -2)[sure], (expected["gt_inds"] == -1)[sure])
    np.testing.assert_array_equal(np.maximum(index, -1)[sure], np.maximum(expected["gt_inds"] - 1, -1)[sure])
    labels = np.where(expected["assigned_labels"] < 0, NUM_CLASSES, expected["assigned_labels"])
    np.testing.assert_array_equal(got.labels.numpy()[0][sure], labels[sure])
    np.testing.assert_allclose(got.max_iou.numpy()[0], expected["max_overlaps"], atol=1e-4)


CARD_BOXES = [(128.3, 120.7, 60, 20, 0.6), (41.7, 203.1, 35, 90, 1.2)]


@pytest.mark.parametrize(
    ("overlaps", "best", "positives", "negatives", "ignored"),
    [
        (HBB, (0.8149, 0.7365), ([26, 5, 0, 0, 0], [0, 30, 0, 0, 0]), 12070, 145),
        (OBB, (0.4940, 0.5911), ([1, 0, 0, 0, 0], [7, 2, 0, 0, 0]), 12183, 83),
    ],
)
def test_card_counts(overlaps, best, positives, negatives, ignored):
    priors, targets, valid = rotated_scene([CARD_BOXES], [(256, 256)])
    assert [section.stop - section.start for section in priors.level_slices] == [9216, 2304, 576, 144, 36]
    got = assigner(overlaps)(priors, targets, valid, NUM_CLASSES)
    index, max_iou = got.gt_index.numpy()[0], got.max_iou.numpy()[0]
    for box, counts in enumerate(positives):
        assert [(index[section] == box).sum() for section in priors.level_slices] == counts
        np.testing.assert_allclose(max_iou[index == box].max(), best[box], atol=1e-4)
    assert ((index == -1).sum(), (index == -2).sum()) == (negatives, ignored)
    np.testing.assert_array_equal(got.target_boxes.numpy()[0][index == 1][0], np.float32(CARD_BOXES[1]))


def loop_assign(iou, usable, low, high, positive, minimum):
    """NumPy twin for one image: iou [G, P] without empty slots."""
    iou = np.where(usable, iou, -1)
    best = iou.max(0) if len(iou) else np.full(iou.shape[1], -1.0)
    index = np.full(iou.shape[1], -2)
    index[(best < high) & ((best >= low) | (len(iou) == 0))] = -1
    if len(iou):
        index[best >= positive] = iou.argmax(0)[best >= positive]
    for g, row in enumerate(iou):
        if row.max() >= minimum:
            index[row.argmax()] = g
    return index


@pytest.mark.parametrize("overlaps", [OBB, HBB])
def test_batches_match_a_loop(overlaps):
    """One of the boxes lies outside the image and overlaps nothing; one image has no box."""
    rng = np.random.default_rng(5)
    pads = [(96, 160), (64, 160), (96, 160)]
    boxes = [random_rboxes(rng, count, 100, 8) for count in (12, 1, 0)]
    boxes[0][3, :2] = 1000
    ignore = [[(50, 45, 80, 70, 0.3)], [], [(20, 20, 40, 40, 1.0)]]
    priors, targets, valid = rotated_scene(boxes, pads, RotatedAnchorGenerator((8, 16, 32)), ignore=ignore)
    options = {"neg_iou_thr": [0.05, 0.3], "pos_iou_thr": 0.4, "min_pos_iou": 0.1, "gt_max_assign_all": False}
    got = assigner(overlaps, ignore_iof_thr=0.5, **options)(priors, targets, valid, NUM_CLASSES)
    valid, prior_boxes = valid.numpy() > 0, priors.boxes.numpy()[0]
    for i, gts in enumerate(boxes):
        areas = np.array(ignore[i]).reshape(-1, 5)
        if overlaps["upright"]:
            gts, areas = upright_rboxes(gts, "oc"), upright_rboxes(areas, "oc")
        ignored = (pairwise_rbox_iou(prior_boxes, areas, "iof") > 0.5).any(1)
        iou = pairwise_rbox_iou(gts, prior_boxes)
        expected = loop_assign(iou, valid[i] & ~ignored, 0.05, 0.3, 0.4, 0.1)
        expected = np.where(valid[i], np.where(ignored, -2, expected), -1)
        np.testing.assert_array_equal(got.gt_index.numpy()[i], expected)


def test_a_box_that_overlaps_nothing_is_given_the_nearest_or_everything():
    """Everything is what the reference gives it, where min_pos_iou is 0."""
    priors, targets, valid = rotated_scene([[(1000, 1000, 20, 10, 0.4)]], [(64, 64)])
    got = assigner({**OBB, "ties": "all"})(priors, targets, valid, NUM_CLASSES)
    assert (got.gt_index.numpy() == 0).all()
    got = assigner(OBB)(priors, targets, valid, NUM_CLASSES)
    np.testing.assert_array_equal(np.flatnonzero(got.gt_index.numpy()[0] == 0), np.arange(63 * 9, 64 * 9))
    got = assigner(OBB, min_pos_iou=0.01)(priors, targets, valid, NUM_CLASSES)
    assert (got.gt_index.numpy() == -1).all()


def test_many_objects_and_priors_in_bounded_memory():
    """500 objects and 2 * 10^5 priors: their overlaps alone would take 400 MB."""
    rng = np.random.default_rng(6)
    gts = random_rboxes(rng, 500, 1024, 8, 200)
    priors, targets, valid = rotated_scene([gts], [(1024, 1024)])
    assert len(priors) == 196416

    def assign():
        got = assigner(OBB)(priors, targets, valid, NUM_CLASSES)
        return got.gt_index.numpy()[0]

    index = assign()  # compiled and warmed up
    grown = peak_growth_mib(assign)
    assert grown < 60
    assert len(np.unique(index[index >= 0])) > 450  # boxes inside larger ones may lose all of theirs
    sample = rng.choice(len(priors), 2000, replace=False)
    iou = pairwise_rbox_iou(gts, priors.boxes.numpy()[0][sample])
    np.testing.assert_array_equal((index[sample] >= 0)[iou.max(0) > 0.51], True)
    far = (iou.max(0) < 0.39) & (index[sample] >= 0)
    assert far.mean() < 0.05  # only the best of a box


def peak_growth_mib(function):
    """How far resident memory rises while the function runs."""
    process = Path("/proc/self")
    (process / "clear_refs").write_text("5", encoding="ascii")  # forget the peak so far

    def read(name):
        return int(re.search(rf"{name}:\s+(\d+)", (process / "status").read_text())[1]) / 1024

    before = read("VmRSS")
    function()
    return read("VmHWM") - before


def test_ties_go_to_the_nearest():
    """A box of 4 px inside every anchor around it: exact overlaps tie."""
    priors, targets, valid = rotated_scene([[(21, 26, 4, 4, 0.3)]], [(64, 64)])
    boxes = priors.boxes.numpy()[0]
    iou = pairwise_rbox_iou(boxes, targets.boxes.numpy()[0, :1])[:, 0]
    best = iou > iou.max() * (1 - 1e-6)
    distance = np.hypot(*(boxes[:, :2] - (21, 26)).T)
    nearest = best & (distance < distance[best].min() + 1e-3)
    assert best.sum() > 3 * nearest.sum() and nearest.sum() == 3  # one anchor of each ratio has that area
    for ties, expected in (("all", best), ("nearest", nearest)):
        got = assigner({**OBB, "ties": ties})(priors, targets, valid, NUM_CLASSES)
        np.testing.assert_array_equal(got.positive_mask.numpy()[0] > 0, expected)
    with pytest.raises(ConfigError, match="nearest"):
        assigner({**OBB, "ties": "neares"})


def test_offsets_of_anchors():
    """JDet puts centres at (stride - 1) / 2; sizes are those of the upright generator."""
    generator = RotatedAnchorGenerator(center_offset=0.5, center_shift_px=-0.5)
    sizes = [(4, 6), (2, 3), (1, 2), (1, 1), (1, 1)]
    priors = generator.priors(sizes)
    boxes = priors.boxes.numpy()[0]
    assert boxes.shape == (len(priors), 5) and not boxes[:, 4].any()
    np.testing.assert_array_equal(boxes[:, :2], priors.centers.numpy()[0])
    for stride, section, (height, width) in zip(generator.strides, priors.level_slices, sizes, strict=True):
        level = boxes[section].reshape(height, width, 9, 5)
        np.testing.assert_allclose(level[0, :, 0, 0], np.arange(width) * stride + (stride - 1) / 2)
        np.testing.assert_allclose(level[:, 0, 0, 1], np.arange(height) * stride + (stride - 1) / 2)
    upright = AnchorGenerator((8, 16, 32, 64, 128), 4, 3, (1.0, 0.5, 2.0)).priors(sizes).boxes.numpy()[0]
    np.testing.assert_allclose(boxes[:, 2:4], upright[:, 2:] - upright[:, :2], rtol=1e-5)
    card = [
        (32, 32), (40.3175, 40.3175), (50.7968, 50.7968), (45.2548, 22.6274), (57.0175, 28.5088),
        (71.8376, 35.9188), (22.6274, 45.2548), (28.5088, 57.0175), (35.9188, 71.8376),
    ]  # fmt: skip
    np.testing.assert_allclose(boxes[:9, 2:4], card, atol=1e-4)
