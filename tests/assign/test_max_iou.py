"""Max-IoU assignment against the reference's numbers and a loop over boxes."""

import numpy as np
import pytest

from jld.assign import MaxIoUAssigner
from jld.boxes.places import Places
from jld.boxes.priors import AnchorGenerator
from jld.errors import ConfigError
from jld.toolchain import jittor as jt
from tests.assign import scenes
from tests.assign.golden_scenes import ASSIGNER_SETS, grid_of
from tests.golden_cases import case

NUM_CLASSES = 20
STRIDES = (8, 16)
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


def loop_assign(iou, usable, positive, low, high, minimum, assign_all, own_best=False):
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
            claimed = np.flatnonzero(ties) if assign_all else ties.argmax()
            index[claimed] = iou.argmax(0)[claimed] if own_best else g
    return index


VARIANTS = {
    "retina": {},
    "one_each": {
        "pos_iou_thr": 0.7,
        "neg_iou_thr": [0.1, 0.3],
        "min_pos_iou": 0.2,
        "gt_max_assign_all": False,
    },
    "detectron2": {"low_quality_box": "own_best", "padding": "matched"},
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
    if options.get("padding") == "matched":
        valid[:] = True
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
            options.get("low_quality_box") == "own_best",
        )  # fmt: skip
        expected = np.where(valid[i], np.where(ignored, -2, expected), -1)
        np.testing.assert_array_equal(got.gt_index.numpy()[i], expected)
        weights = valid[i] & (expected != -2)
        np.testing.assert_array_equal(got.label_weights.numpy()[i], weights)


def rois_of(counts, levels_of, boxes):
    """Places of RoIs: `counts` real ones per image, the others padding without size."""
    mask = np.float32(np.arange(boxes.shape[1]) < np.array(counts)[:, None])
    boxes = np.float32(boxes * mask[..., None])
    strides = np.float32(STRIDES)[levels_of]
    arrays = {"boxes": boxes, "centers": (boxes[..., :2] + boxes[..., 2:]) / 2, "strides": strides}
    arrays |= {"levels": levels_of.astype(np.int32), "mask": mask}
    return Places(**{name: jt.array(array) for name, array in arrays.items()}, level_strides=STRIDES)


def test_each_image_has_rois_of_its_own():
    """RoIs that fill up a batch are neither positive nor counted, and images do not see each other's."""
    rng = np.random.default_rng(3)
    counts, shape = (40, 25, 9), (96, 160)
    gts = [scenes.random_boxes(rng, count, *shape) for count in (6, 2, 0)]
    boxes = np.stack([scenes.random_boxes(rng, 40, *shape) for _ in counts])
    for row, objects in zip(boxes, gts, strict=True):
        row[: 3 * len(objects)] = np.repeat(objects, 3, axis=0) + rng.uniform(-2, 2, (3 * len(objects), 4))
    rois = rois_of(counts, rng.integers(0, 2, (3, 40)), boxes)
    assert len(rois) == 40 and rois.num_levels == 2
    ignore = [[(10, 10, 90, 80)], [], [(0, 0, 40, 40)]]
    targets = scenes.make_targets(gts, [shape] * 3, ignore=ignore)
    valid = rois.valid_mask(targets.pad_shapes)
    np.testing.assert_array_equal(valid.numpy().sum(1), counts)
    options = {"pos_iou_thr": 0.5, "neg_iou_thr": 0.5, "match_low_quality": False, "ignore_iof_thr": 0.5}
    got = MaxIoUAssigner(**options)(rois, targets, valid, NUM_CLASSES)
    index, own = got.gt_index.numpy(), rois.boxes.numpy()
    for i, objects in enumerate(gts):
        real = np.arange(40) < counts[i]
        ignored = np.zeros(40, bool)
        if ignore[i]:
            ignored = scenes.overlaps(own[i], ignore[i], "iof").max(1) > 0.5
        iou = scenes.overlaps(objects.reshape(-1, 4), own[i], dtype=np.float32)
        expected = loop_assign(iou, real & ~ignored, 0.5, 0, 0.5, None, True)
        expected = np.where(real, np.where(ignored, -2, expected), -1)
        np.testing.assert_array_equal(index[i], expected)
        np.testing.assert_array_equal(got.label_weights.numpy()[i], real & (expected != -2))
    assert (index[:2] >= 0).any(axis=1).all() and (index == -2).any()


def test_thresholds_must_be_ordered():
    with pytest.raises(ConfigError, match="neg_iou_thr"):
        MaxIoUAssigner(pos_iou_thr=0.5, neg_iou_thr=0.6)
