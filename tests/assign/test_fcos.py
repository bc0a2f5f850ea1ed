"""The FCOS assigner and its distillation region against loops over points and boxes."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.assign import FCOSAssigner
from jld.assign.regions import FCOSValuableRegion
from jld.boxes.priors import AnchorGenerator
from jld.errors import ConfigError
from tests.assign import scenes

NUM_CLASSES = 5
POINTS = AnchorGenerator((8, 16, 32), center_offset=0.5)
RANGES = ((-1, 24), (24, 48), (48, 1e8))
SHAPE, PADS = (96, 160), [(96, 160), (64, 160), (96, 96)]


def loop_assign(points, strides, ranges, gts, radius):
    """Box index [P] of one image, -1 for background: point by point, box by box."""
    index = np.full(len(points), -1)
    for p, (x, y) in enumerate(points):
        smallest = np.inf
        for g, (x1, y1, x2, y2) in enumerate(gts):
            sides = np.array([x - x1, y - y1, x2 - x, y2 - y])
            if radius is not None:
                half = radius * strides[p]
                cx, cy = (x1 + x2) / 2, (y1 + y2) / 2
                square = (max(cx - half, x1), max(cy - half, y1), min(cx + half, x2), min(cy + half, y2))
                if min(x - square[0], y - square[1], square[2] - x, square[3] - y) <= 0:
                    continue
            area = (x2 - x1) * (y2 - y1)
            if sides.min() > 0 and ranges[p][0] <= sides.max() <= ranges[p][1] and area < smallest:
                index[p], smallest = g, area
    return index


def scene(boxes):
    priors = POINTS.priors(scenes.feature_sizes(*SHAPE, POINTS.strides))
    labels = [np.arange(len(rows)) % NUM_CLASSES for rows in boxes]
    targets = scenes.make_targets(boxes, PADS, labels)
    return priors, targets, priors.valid_mask(targets.pad_shapes)


@pytest.fixture(scope="module")
def crowd():
    rng = np.random.default_rng(3)
    boxes = [scenes.random_boxes(rng, count, *SHAPE) for count in (20, 1, 0)]
    boxes[0][5:7] = boxes[0][4]  # of equally small objects the first
    boxes[0][7] = (16, 16, 112, 72)  # whole numbers: points on sides and at the ends of ranges
    return boxes, *scene(boxes)


@pytest.mark.parametrize("padding", ["background", "excluded"])
@pytest.mark.parametrize("radius", [None, 1.5])
def test_batches_match_a_loop(crowd, radius, padding):
    boxes, priors, targets, valid_mask = crowd
    got = FCOSAssigner(RANGES, radius, padding)(priors, targets, valid_mask, NUM_CLASSES)
    points, strides, valid = priors.centers.numpy()[0], priors.strides.numpy()[0], valid_mask.numpy() > 0
    ranges = np.concatenate(
        [
            [limits] * (rows.stop - rows.start)
            for rows, limits in zip(priors.level_slices, RANGES, strict=True)
        ]
    )
    usable = valid if padding == "excluded" else np.ones_like(valid)
    for i, gts in enumerate(boxes):
        expected = np.where(usable[i], loop_assign(points, strides, ranges, gts, radius), -1)
        np.testing.assert_array_equal(got.gt_index.numpy()[i], expected)
        labels = np.where(expected < 0, NUM_CLASSES, expected % NUM_CLASSES)
        np.testing.assert_array_equal(got.labels.numpy()[i], labels)
        chosen = np.concatenate([gts, np.zeros((1, 4), np.float32)])[expected]
        np.testing.assert_array_equal(got.target_boxes.numpy()[i], chosen)
    np.testing.assert_array_equal(got.label_weights.numpy(), usable)
    assert got.num_total_pos.item() == np.maximum((got.gt_index.numpy() >= 0).sum(1), 1).sum()
    assert got.gt_thresholds is None and not got.max_iou.numpy().any()


@pytest.mark.parametrize("radius", [None, 1.5])
def test_region_is_what_of_the_objects_is_not_positive(crowd, radius):
    boxes, priors, targets, valid_mask = crowd
    assignment = FCOSAssigner(RANGES, radius)(priors, targets, valid_mask, NUM_CLASSES)
    context = SimpleNamespace(places=priors, targets=targets, assignment=assignment, valid_mask=valid_mask)
    x, y = priors.centers.numpy()[0].T
    for i, got in enumerate(FCOSValuableRegion()(context).numpy()):
        inside = np.zeros(len(x), bool)
        for x1, y1, x2, y2 in boxes[i]:
            inside |= (x > x1) & (x < x2) & (y > y1) & (y < y2)
        expected = inside & (assignment.gt_index.numpy()[i] < 0) & (valid_mask.numpy()[i] > 0)
        np.testing.assert_array_equal(got, expected)
        assert expected.any() == (i < 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"regress_ranges": [(64, 64)]}, "64"),
        ({"center_radius": 0}, "center_radius"),
        ({"padding": "background_"}, "background"),
    ],
)
def test_values_that_cannot_be_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        FCOSAssigner(**options)


def test_every_level_needs_a_range(crowd):
    _, priors, targets, valid_mask = crowd
    with pytest.raises(ConfigError, match="regress_ranges"):
        FCOSAssigner()(priors, targets, valid_mask, NUM_CLASSES)
