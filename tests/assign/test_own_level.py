"""Regions of the object's own level against loops, and suppression in rounds against the plain algorithm."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.assign.levels import cells_of_places, level_of_boxes
from jld.assign.regions import FineGrainedOwnLevel, InsideOwnLevel
from jld.assign.rounds import pick_in_rounds, picked_mask
from jld.boxes.priors import AnchorGenerator
from jld.errors import ConfigError
from jld.toolchain import jittor as jt
from tests.assign import scenes

RETINA = AnchorGenerator((8, 16, 32), octave_base_scale=4, scales_per_octave=3, ratios=(0.5, 1.0, 2.0))
SHAPE, PADS = (128, 192), [(128, 192), (96, 192), (128, 64)]


def scene(boxes, generator):
    priors = generator.priors(scenes.feature_sizes(*SHAPE, generator.strides))
    targets = scenes.make_targets(boxes, PADS)
    return SimpleNamespace(places=priors, targets=targets, valid_mask=priors.valid_mask(targets.pad_shapes))


def inside_boxes(rng, count):
    """Boxes within the smallest image, some thinner than a cell and some at its far border."""
    low = rng.uniform(0, (60, 90), (count, 2))
    high = low + np.exp(rng.uniform(0, 4.5, (count, 2)))
    boxes = np.concatenate([low, np.minimum(high, (64, 96))], 1)
    return np.float32([*boxes, (63, 95, 64, 96), (64, 96, 64, 96)])


def own_level(box, num_levels):
    width, height = box[2] - box[0], box[3] - box[1]
    return int(np.clip(np.floor(np.log2(np.sqrt((width + 1) * (height + 1)) / 56 + 1e-6)), 0, num_levels - 1))


def loop_inside(gts, generator, valid):
    """The released mask, cell by cell."""
    sizes = scenes.feature_sizes(*SHAPE, generator.strides)
    masks = [np.zeros(size) for size in sizes]
    for box in gts.astype(np.float64):
        level = own_level(box, len(sizes))
        x1, y1, x2, y2 = np.floor(box / generator.strides[level]).astype(int)
        mask = masks[level]
        if x2 > x1 and y2 > y1:
            mask[y1:y2, x1:x2] = 1
        else:
            mask[min(y1, mask.shape[0] - 1), min(x1, mask.shape[1] - 1)] = 1
    return np.concatenate([np.repeat(mask.reshape(-1), generator.num_per_cell) for mask in masks]) * valid


def loop_fine(gts, context, valid):
    priors = context.places.boxes.numpy()[0]
    found = np.zeros(len(priors))
    for box in gts:
        section = context.places.level_slices[own_level(box, context.places.num_levels)]
        iou = scenes.overlaps(priors[section], box[None])[:, 0] * valid[section]
        found[section] = np.maximum(found[section], iou > 0.5 * iou.max())
    return found


@pytest.mark.parametrize("generator", [AnchorGenerator((8, 16, 32)), RETINA], ids=["one anchor", "nine"])
def test_regions_match_loops(generator):
    rng = np.random.default_rng(3)
    boxes = [inside_boxes(rng, 9), inside_boxes(rng, 1), np.zeros((0, 4), np.float32)]
    context = scene(boxes, generator)
    valid = context.valid_mask.numpy()
    inside, fine = InsideOwnLevel()(context).numpy(), FineGrainedOwnLevel()(context).numpy()
    assert inside[0].any() and fine[0].any() and not inside[2].any() and not fine[2].any()
    for image, gts in enumerate(boxes):
        np.testing.assert_array_equal(inside[image], loop_inside(gts, generator, valid[image]))
        np.testing.assert_array_equal(fine[image], loop_fine(gts, context, valid[image]))


def test_levels_of_boxes_and_priors():
    # (w + 1)(h + 1) = 112 squared is the first size of the second level, thanks to the 1e-6.
    sides = np.float32([0, 55, 110.9, 111, 222.9, 223, 447, 895, 5000])
    boxes = np.stack([0 * sides, 0 * sides, sides, sides], 1)
    np.testing.assert_array_equal(level_of_boxes(jt.array(boxes), 5).numpy(), [0, 0, 0, 1, 1, 2, 3, 4, 4])
    priors = RETINA.priors([(2, 3), (1, 2), (1, 1)])
    np.testing.assert_array_equal(priors.levels.numpy()[0], np.repeat([0, 1, 2], [54, 18, 9]))
    rows, columns = (cells.numpy() for cells in cells_of_places(priors))
    centers = np.stack([columns, rows], 1) * priors.strides.numpy()[0][:, None]
    np.testing.assert_allclose(priors.centers.numpy()[0], centers, atol=1e-4)


def plain_nms(scores, boxes, count, threshold):
    order, kept = np.argsort(-scores, kind="stable"), []
    for place in order:
        if scores[place] < 0 or len(kept) == count:
            break
        if not kept or (scenes.overlaps(boxes[[place]], boxes[kept])[0] <= threshold).all():
            kept.append(place)
    return kept


def test_picks_are_those_of_plain_suppression():
    rng = np.random.default_rng(5)
    boxes = np.stack([scenes.random_boxes(rng, 40, 100, 100) for _ in range(2)])
    scores = rng.random((2, 40)).astype(np.float32)
    scores[:, ::7] = -1
    scores[1, 1:30] = -1  # the first group of the second row has no candidate
    scores[0, 3] = scores[0, 9]  # a tie
    groups = np.repeat([0, 1], [30, 10]).astype(np.int32)
    picks = pick_in_rounds(
        jt.array(scores), jt.array(boxes), jt.array(groups), num_groups=2, rounds=8, iou_threshold=0.3
    )
    mask = picked_mask(picks, jt.array(groups)).numpy()
    picks = picks.numpy()
    for row in range(2):
        chosen = []
        for group in range(2):
            members = np.flatnonzero(groups == group)
            kept = members[plain_nms(scores[row, members], boxes[row, members], 8, 0.3)]
            np.testing.assert_array_equal(picks[row, : len(kept), group], kept)
            assert (picks[row, len(kept) :, group] == 40).all()
            chosen += list(kept)
        np.testing.assert_array_equal(np.flatnonzero(mask[row]), np.sort(chosen))


def test_threshold_is_checked():
    with pytest.raises(ConfigError, match="FineGrainedOwnLevel needs a threshold"):
        FineGrainedOwnLevel(threshold=1.0)
