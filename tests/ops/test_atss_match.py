"""Acceptance of candidates and the bands around thresholds against plain loops in double precision."""

import numpy as np
import pytest

from jld.ops.atss_match import atss_match
from jld.ops.valuable_overlaps import valuable_overlaps
from jld.toolchain import jittor as jt
from tests.ops.own_priors import own_and_alone

UNREACHABLE = 1e8


def random_boxes(rng, *shape):
    corner, size = rng.integers(0, 24, (*shape, 2)) * 4, rng.integers(2, 16, (*shape, 2)) * 4
    return np.concatenate([corner, corner + size], -1).astype(np.float32)


def overlap(a, b):
    """(IoU, IoF, squared relative distance of the centres) of two boxes."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    inner = np.clip(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0, None).prod()
    first, second = (a[2:] - a[:2]).prod(), (b[2:] - b[:2]).prod()
    outer = np.maximum(a[2:], b[2:]) - np.minimum(a[:2], b[:2])
    shift = (a[:2] + a[2:] - b[:2] - b[2:]) / 2
    return inner / (first + second - inner), inner / first, (shift**2).sum() / (outer**2).sum()


def loop_match(priors, boxes, index, mask):
    """Box slot [P], its IoU [P] and thresholds [G] of one image."""
    slot_of, best, thresholds = (
        np.full(len(priors), -1),
        np.zeros(len(priors)),
        np.full(len(boxes), UNREACHABLE),
    )
    for slot, box in enumerate(boxes):
        places = index[slot][mask[slot] > 0]
        iou = np.array([overlap(priors[place], box)[0] for place in places])
        if len(places) > 1:
            thresholds[slot] = iou.mean() + iou.std(ddof=1)
        for place, value in zip(places, iou, strict=True):
            center = (priors[place, :2] + priors[place, 2:]) / 2
            inside = min(*(center - box[:2]), *(box[2:] - center)) > 0.01
            if value >= thresholds[slot] and inside and (slot_of[place] < 0 or value > best[place]):
                slot_of[place], best[place] = slot, value
    return slot_of, best, thresholds


def test_matches_are_those_of_a_loop():
    rng = np.random.default_rng(2)
    priors, boxes = random_boxes(rng, 60), random_boxes(rng, 3, 40)
    boxes[:, 20:] = boxes[:, :20]  # every tie goes to the first
    index = np.stack([[rng.permutation(60)[:25] for _ in range(40)] for _ in range(3)]).astype(np.int32)
    index[:, 20:] = index[:, :20]
    mask = np.float32(rng.uniform(size=index.shape) < 0.7)
    mask[:, 20:] = mask[:, :20]
    mask[0, 3:9] = np.eye(25)[3:9]  # single candidates
    mask[0, 10:15] = mask[2] = 0  # empty slots, and an image without objects
    found = atss_match(
        *map(jt.array, (priors[None], boxes, index, mask)), min_inset_px=0.01, unreachable=UNREACHABLE
    )
    slot_of, best, thresholds = (var.numpy() for var in found)
    assert (slot_of[:2] >= 0).sum() > 20 and slot_of.max() >= 20 and (slot_of[2] == -1).all()
    for image in range(3):
        expected = loop_match(priors, boxes[image], index[image], mask[image])
        np.testing.assert_array_equal(slot_of[image], expected[0])
        np.testing.assert_allclose(best[image], expected[1], rtol=1e-6)
        np.testing.assert_allclose(thresholds[image], expected[2], rtol=1e-6)


@pytest.mark.parametrize("of_prior", [False, True])
@pytest.mark.parametrize("gamma", [0.25, 0.0])
def test_bands_are_those_of_a_loop(of_prior, gamma):
    rng = np.random.default_rng(3)
    priors, boxes = random_boxes(rng, 300), random_boxes(rng, 2, 6)  # more than one group of priors
    thresholds = rng.uniform(0.2, 0.7, (2, 6)).astype(np.float32)
    boxes[0, 4:], thresholds[0, 4:] = 0, UNREACHABLE  # empty slots
    valid = np.float32(rng.uniform(size=(2, 300)) < 0.9)
    inputs = map(jt.array, (priors[None], boxes, thresholds, valid))
    found = valuable_overlaps(*inputs, gamma=gamma, of_prior=of_prior).numpy()
    expected, fragile = np.zeros((2, 300)), np.zeros((2, 300), bool)
    for image, place, slot in np.ndindex(2, 300, 6):
        iou, iof, distance = overlap(priors[place], boxes[image, slot])
        gate, high = (iof if of_prior else iou) - distance, float(thresholds[image, slot])
        low = gamma * high
        fragile[image, place] |= min(abs(gate - low), abs(gate - high)) < 1e-6 and iou > 0
        if low <= gate < high:
            expected[image, place] = max(expected[image, place], iou * valid[image, place])
    assert (expected > 0).sum() > 50 and fragile.sum() < 9
    np.testing.assert_allclose(found[~fragile], expected[~fragile], rtol=1e-5)


def test_candidates_of_each_images_own_priors():
    """One set of priors per image gives what every image gives alone."""
    rng = np.random.default_rng(4)
    arrays = [
        random_boxes(rng, 3, 60),
        random_boxes(rng, 3, 5),
        rng.integers(0, 60, (3, 5, 20)).astype(np.int32),
        np.float32(rng.uniform(size=(3, 5, 20)) < 0.8),
    ]
    found = own_and_alone(
        lambda *inputs: atss_match(*inputs, min_inset_px=0.01, unreachable=UNREACHABLE), arrays
    )
    for together, apart in zip(*found, strict=True):
        np.testing.assert_array_equal(together, apart)
    assert (found[0][0] >= 0).any(axis=1).all()


@pytest.mark.parametrize("of_prior", [False, True])
def test_bands_over_each_images_own_priors(of_prior):
    rng = np.random.default_rng(5)
    arrays = [
        random_boxes(rng, 3, 300),
        random_boxes(rng, 3, 6),
        rng.uniform(0.2, 0.7, (3, 6)).astype(np.float32),
        np.float32(rng.uniform(size=(3, 300)) < 0.9),
    ]
    ((together,), (apart,)) = own_and_alone(
        lambda *inputs: [valuable_overlaps(*inputs, gamma=0.25, of_prior=of_prior)], arrays
    )
    np.testing.assert_array_equal(together, apart)
    assert (together > 0).any(axis=1).all()
