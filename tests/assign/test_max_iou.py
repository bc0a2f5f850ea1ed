"""Max-IoU assignment against the reference's numbers and a loop over boxes."""

import numpy as np
import pytest

from jld.assign import MaxIoUAssigner
from jld.boxes.priors import AnchorGenerator
from jld.errors import ConfigError
from tests.assign import scenes
from tests.assign.golden_scenes import ASSIGNER_SETS, grid_of
from tests.golden_cases import case

NUM_CLASSES = 20
RETINA = {"octave_base_scale": 4, "scales_per_octave": 3, "ratios": (0.5, 1.0, 2.0)}


@pytest.mark.golden
@pytest.mark.parametrize("name", ASSIGNER_SETS)
def test_golden_assigner(name):
    _, arrays = case("h_assigners")
    single, sizes, pad_shape = grid_of(arrays)
    generator = AnchorGenerator(single.strides, **RETINA)
    base = np.stack([generator.base_anchors(stride) for stride in generator.strides])
    np.testing.assert_allclose(base, arrays["out/base_anchors9"], rtol=1e-5)
    targets = scenes.make_targets(
        [arrays[f"in/gt_bboxes/{name}"]], [pad_shape], [arrays[f"in/gt_labels/{name}"]]
    )
    priors = generator.priors(sizes)
    got = MaxIoUAssigner(0.5, 0.4, 0.0)(priors, targets, priors.valid_mask(targets.pad_shapes), NUM_CLASSES)
    expected = {
        key: arrays[f"out/{name}/maxiou/{key}"] for key in ("gt_inds", "labels", "max_overlaps", "fragile")
    }
    sure = ~expected["fragile"]
    index = got.gt_index.numpy()[0]
    np.testing.assert_array_equal(
        np.where(index < 0, -1, index)[sure], np.maximum(expected["gt_inds"] - 1, -1)[sure]
    )
    np.testing.assert_array_equal((index == -2)[sure], (expected["gt_inds"] == -1)[sure])
    labels = np.where(expected["labels"] < 0, NUM_CLASSES, expected["labels"])
    np.testing.assert_array_equal(got.labels.numpy()[0][sure], labels[sure])
    np.testing.assert_array_equal(got.label_weights.numpy()[0][sure], (expected["gt_inds"] != -1)[sure])
    np.testing.assert_allclose(got.max_iou.numpy()[0], expected["max_overlaps"], rtol=1e-5, atol=1e-6)


def loop_assign(iou, usable, positive, low, high, minimum, assign_all):
    """NumPy twin for one image: iou [G, P] without empty slots."""
    iou = np.where(usable, iou, -1)
    best = iou.max(0) if len(iou) else np.full(iou.shape[1], -1.0)
    index = np.full(iou.shape[1], -2)
    index[(best < high) & ((best >= low) | (len(iou) == 0))] = -1
    if len(iou):
        index[best >= positive] = iou.argmax(0)[best >= positive]
    for g, row in enumerate(iou):
        if minimum is not None and row.max() >= minimum:
            ties = row == row.max()
            index[ties if assign_all else ties.argmax()] = g
    return index


VARIANTS = {
    "retina": {},
    "one_each": {
        "pos_iou_thr": 0.7,
        "neg_iou_thr": [0.1, 0.3],
        "min_pos_iou": 0.2,
        "gt_max_assign_all": False,
    },
    "no_rescue": {"match_low_quality": False, "ignore_iof_thr": 0.5},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_batches_match_a_loop(variant):
    rng = np.random.default_rng(12)
    options = VARIANTS[variant]
    shape, pads = (96, 160), [(96, 160), (64, 160), (96, 160)]
    generator = AnchorGenerator((8, 16, 32), **RETINA)
    priors = generator.priors(scenes.feature_sizes(*shape, generator.strides))
    boxes = [scenes.random_boxes(rng, count, *shape) for count in (12, 1, 0)]
    ignore = [[(10, 10, 90, 80)], [], [(0, 0, 40, 40)]]
    targets = scenes.make_targets(boxes, pads, ignore=ignore)
    valid = priors.valid_mask(targets.pad_shapes)
    got = MaxIoUAssigner(**options)(priors, targets, valid, NUM_CLASSES)
    valid, prior_boxes = valid.numpy() > 0, priors.boxes.numpy()[0]
    negative = options.get("neg_iou_thr", 0.4)
    low, high = negative if isinstance(negative, list) else (0, negative)
    minimum = options.get("min_pos_iou", 0.0) if options.get("match_low_quality", True) else None
    for i, gts in enumerate(boxes):
        ignored = np.zeros(len(prior_boxes), bool)
        if "ignore_iof_thr" in options and len(ignore[i]):
            ignored = scenes.overlaps(prior_boxes, ignore[i], "iof").max(1) > options["ignore_iof_thr"]
        expected = loop_assign(
            # In float32, as ties depend on rounding.
            scenes.overlaps(gts.reshape(-1, 4), prior_boxes, dtype=np.float32), valid[i] & ~ignored,
            options.get("pos_iou_thr", 0.5), low, high, minimum, options.get("gt_max_assign_all", True),
        )  # fmt: skip
        expected = np.where(valid[i], np.where(ignored, -2, expected), -1)
        np.testing.assert_array_equal(got.gt_index.numpy()[i], expected)
        weights = valid[i] & (expected != -2)
        np.testing.assert_array_equal(got.label_weights.numpy()[i], weights)


def test_thresholds_must_be_ordered():
    with pytest.raises(ConfigError, match="neg_iou_thr"):
        MaxIoUAssigner(pos_iou_thr=0.5, neg_iou_thr=0.6)
