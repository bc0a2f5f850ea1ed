"""Regions around rotated objects against the reference's arrays, the method card and brute-force loops."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.assign.regions import (
    ReleasedRotatedFineGrained,
    ReleasedRotatedLDRegion,
    RotatedFineGrained,
    RotatedLDRegion,
)
from jld.boxes.rotated import pairwise_rbox_iou, upright_rboxes
from jld.boxes.rotated.anchors import RotatedAnchorGenerator
from jld.errors import ConfigError
from jld.registry import REGIONS
from tests.assign.rotated_scenes import rotated_scene
from tests.golden_cases import case, param_cases
from tests.models.golden_models import assert_sampled
from tests.ops.rotated_scenes import random_rboxes

CARD_A, CARD_B = (128.3, 120.7, 60, 20, 0.6), (41.7, 203.1, 35, 90, 1.2)
LEVELS = ("finegrained", "fitnet", "decouple", "gibox")
DESCRIPTIONS = {
    "rotated": lambda boxes: boxes,
    "upright": lambda boxes: upright_rboxes(boxes, "oc"),
    "ignore_angle": lambda boxes: boxes * [1, 1, 1, 1, 0],
}


def context_of(*args, **kwargs):
    priors, targets, valid = rotated_scene(*args, **kwargs)
    return SimpleNamespace(places=priors, targets=targets, valid_mask=valid)


@pytest.mark.golden
@pytest.mark.parametrize("name", [*param_cases("r_ld_*"), *param_cases("r_full_ld_*")])
def test_released_regions_equal_golden(name):
    meta, arrays = case(name)
    head = meta["head"] if "head" in meta else meta["model"]["bbox_head"]
    anchors = dict(head["anchor_generator"])
    assert anchors.pop("type") == "RotatedAnchorGenerator"
    assert head.get("imitation_method", "finegrained") in LEVELS
    count = sum(key.startswith("in/pad_shape/") for key in arrays)
    pads = [arrays[f"in/pad_shape/{i}"][:2] for i in range(count)]
    boxes = [arrays[f"in/gt_bboxes/{i}"] for i in range(count)]
    context = context_of(boxes, pads, RotatedAnchorGenerator(**anchors))
    assert_sampled(meta, arrays, "out/tgt/anchors", context.places.boxes.numpy()[0], 1e-6)
    weights = ReleasedRotatedLDRegion()(context).numpy()
    if "out/tgt/ld_region" not in arrays:
        assert meta["raises"]  # an image without ground truth stops the reference; here it has no region
        empty = [len(rows) == 0 for rows in boxes]
        assert any(empty) and not weights[empty].any()
        return
    np.testing.assert_allclose(weights, arrays["out/tgt/ld_region"], rtol=1e-5, atol=1e-6)
    fine = RotatedFineGrained(geometry="ignore_angle")(context).numpy()
    np.testing.assert_array_equal(fine, arrays["out/tgt/im_region"])
    valid = context.valid_mask.numpy().sum(1)
    np.testing.assert_array_equal(valid, arrays["out/tgt/valid_sum"])
    if "out/im_mask/0" in arrays:
        scrambled = ReleasedRotatedFineGrained()(context).numpy()
        assert_cells_equal(context, fine, arrays, "intended/im_mask")
        assert_cells_equal(context, scrambled, arrays, "out/im_mask")


def assert_cells_equal(context, marks, arrays, key):
    """A cell is selected when any of its priors is."""
    for level, rows in enumerate(context.places.level_slices):
        cells = marks[:, rows].reshape(len(marks), -1, context.places.num_per_cell).max(2)
        np.testing.assert_array_equal(cells > 0, arrays[f"{key}/{level}"] > 0, err_msg=f"{key}/{level}")


def test_card_thresholds():
    context = context_of([[CARD_A, CARD_B]], [(256, 256)])
    thresholds = ReleasedRotatedLDRegion().thresholds(context).numpy()[0]
    np.testing.assert_allclose(thresholds[:2] / 4, [0.077409, 0.094795], atol=1e-6)
    np.testing.assert_allclose(thresholds[:2], [0.133558 + 0.176080, 0.187544 + 0.191637], atol=2e-6)
    assert (thresholds[2:] > 1).all()


@pytest.mark.parametrize(
    ("boxes", "counts", "sums"),
    [
        ([CARD_A], [518, 220, 0, 0, 0], [106.8673, 29.4008, 0, 0, 0]),
        ([CARD_B], [706, 316, 66, 0, 0], [157.9837, 69.5414, 8.9156, 0, 0]),
        ([CARD_A, CARD_B], [1224, 536, 66, 0, 0], [264.8510, 98.9422, 8.9156, 0, 0]),
    ],
)
def test_card_region(boxes, counts, sums):
    context = context_of([boxes], [(256, 256)])
    weights = ReleasedRotatedLDRegion()(context).numpy()[0].astype(np.float64)
    sections = context.places.level_slices
    assert [(weights[section] > 0).sum() for section in sections] == counts
    np.testing.assert_allclose([weights[section].sum() for section in sections], sums, atol=1e-3)
    if len(boxes) == 2:
        np.testing.assert_allclose(weights.max(), 0.733767, atol=1e-6)
        fine = RotatedFineGrained(geometry="ignore_angle")(context).numpy()[0]
        assert [fine[section].sum() for section in sections] == [117, 27, 0, 0, 0]


def loop_regions(context, gts, valid, describe):
    """(weights [P] of the LD region, fine-grained mask [P]) of one image, box by box."""
    boxes, strides = context.places.boxes.numpy()[0], context.places.level_strides
    weights, fine = np.zeros(len(boxes)), np.zeros(len(boxes))
    for gt in describe(gts.astype(np.float64)):
        iou = pairwise_rbox_iou(boxes, gt)[:, 0]
        nearest = []
        for section in context.places.level_slices:
            inside = np.arange(section.start, section.stop)[valid[section]]
            distance = np.hypot(*(boxes[inside, :2] - gt[:2]).T).round(4)
            nearest.append(inside[np.argsort(distance, kind="stable")[:9]])
        assert len(nearest) == len(strides)
        chosen = iou[np.concatenate(nearest)]
        accepted = iou >= 0.25 * (chosen.mean() + chosen.std(ddof=1))
        weights = np.maximum(weights, iou * accepted * valid)
        fine = np.maximum(fine, (iou > 0.500001 * iou[valid].max()) * valid)
    return weights, fine


@pytest.mark.parametrize("geometry", DESCRIPTIONS)
def test_regions_match_loops(geometry):
    rng = np.random.default_rng(9)
    boxes = [random_rboxes(rng, count, 110, 6) for count in (9, 1, 0)]
    context = context_of(boxes, [(128, 192), (96, 192), (128, 64)], RotatedAnchorGenerator((8, 16, 32)))
    got = RotatedLDRegion(geometry)(context).numpy()
    fine = RotatedFineGrained(geometry=geometry)(context).numpy()
    for i, gts in enumerate(boxes):
        valid = context.valid_mask.numpy()[i] > 0
        expected = loop_regions(context, gts, valid, DESCRIPTIONS[geometry])
        np.testing.assert_allclose(got[i], expected[0], atol=1e-5)
        np.testing.assert_array_equal(fine[i], expected[1])
    assert got[0].any() and not got[2].any()


def test_options_are_checked_and_names_registered():
    with pytest.raises(ConfigError, match="did you mean 'upright'"):
        RotatedLDRegion(geometry="uprigt")
    with pytest.raises(ConfigError, match="gamma"):
        RotatedLDRegion(gamma=0)
    with pytest.raises(ConfigError, match="threshold"):
        RotatedFineGrained(threshold=1)
    names = {"rotated_ld", "rotated_ld_released", "rotated_fine_grained", "rotated_fine_grained_released"}
    assert names <= set(REGIONS.names())
