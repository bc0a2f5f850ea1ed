"""Sampling of places: counts, order, chance, and independence of the batch."""

import numpy as np
import pytest

from jld.ops.sample_places import sample_places
from jld.toolchain import jittor as jt

PLACES = 3000
# (positives, negatives) of every image; the others are ignored or not usable.
COUNTS = [(500, 2000), (7, 2500), (0, 1200), (3, 20), (0, 0)]


@pytest.fixture(scope="module")
def scene():
    """(gt_index, usable, seeds) of images with these counts."""
    rng = np.random.default_rng(0)
    gt_index, usable = (
        np.full((len(COUNTS), PLACES), -2, np.int32),
        np.ones((len(COUNTS), PLACES), np.float32),
    )
    for row, weights, (positives, negatives) in zip(gt_index, usable, COUNTS, strict=True):
        order = rng.permutation(PLACES)
        row[order[:positives]] = rng.integers(0, 9, positives)
        row[order[positives : positives + negatives]] = -1
        row[order[-100:]], weights[order[-100:]] = -1, 0
    return gt_index, usable, np.arange(11, 11 + len(COUNTS), dtype=np.int32)


def sampled(scene, rows=slice(None), seeds=None, **settings):
    gt_index, usable, own = scene
    seeds = own if seeds is None else seeds
    options = {"num": 64, "most_positives": 16} | settings
    arrays = (jt.array(x[rows]) for x in (gt_index, usable, seeds))
    return [var.numpy() for var in sample_places(*arrays, **options)]


def assert_sound(scene, slots, chosen, expected):
    """Slots name usable places, positives first, each once; as many as expected; `chosen` marks the same."""
    gt_index, usable, _ = scene
    for row, (index, weights) in enumerate(zip(gt_index, usable, strict=True)):
        taken = slots[row][slots[row] < PLACES]
        assert (slots[row][len(taken) :] == PLACES).all() and len(set(taken)) == len(taken)
        assert (weights[taken] > 0).all() and (index[taken] >= -1).all()
        positive = index[taken] >= 0
        assert (positive.sum(), (~positive).sum()) == expected[row]
        assert (np.diff(positive.astype(int)) <= 0).all(), "positives come first"
        for part in (taken[positive], taken[~positive]):
            assert (np.diff(part) > 0).all()
        np.testing.assert_array_equal(np.flatnonzero(chosen[row]), np.sort(taken))


def test_counts_and_order(scene):
    expected = [(16, 48), (7, 57), (0, 64), (3, 20), (0, 0)]
    assert_sound(scene, *sampled(scene), expected)
    assert_sound(scene, *sampled(scene, is_even=True), expected)
    limited = [(16, 32), (7, 14), (0, 2), (3, 6), (0, 0)]
    assert_sound(scene, *sampled(scene, negatives_per_positive=2.0), limited)


def test_an_image_draws_the_same_in_any_batch(scene):
    together, _ = sampled(scene)
    alone, _ = sampled(scene, rows=slice(1, 2))
    np.testing.assert_array_equal(alone[0], together[1])
    again, _ = sampled(scene)
    np.testing.assert_array_equal(again, together)
    other, _ = sampled(scene, seeds=scene[2] + 1)
    assert (other[0] != together[0]).any() and (other[1] != together[1]).any()


def test_every_place_has_its_chance():
    """Over many seeds each of 200 negatives is drawn in about a quarter of the images, and none in pairs."""
    images, places, num = 800, 200, 50
    gt_index = jt.full((images, places), -1).int32()
    seeds = jt.array(np.random.default_rng(1).integers(0, 2**31, images).astype(np.int32))
    _, chosen = sample_places(gt_index, jt.ones((images, places)), seeds, num=num, most_positives=0)
    chosen = chosen.numpy()
    assert (chosen.sum(1) == num).all()
    deviation = np.sqrt(0.25 * 0.75 / images)
    assert np.abs(chosen.mean(0) - 0.25).max() < 5 * deviation
    together = chosen.T @ chosen / images
    np.fill_diagonal(together, together[0, 1])
    pair = 0.25 * (num - 1) / (places - 1)
    assert np.abs(together - pair).max() < 6 * np.sqrt(pair / images)


def test_the_even_choice_is_that_of_the_golden_numbers(scene):
    gt_index, usable, _ = scene
    slots, _ = sampled(scene, is_even=True)
    negatives = np.flatnonzero((gt_index[0] == -1) & (usable[0] > 0))
    np.testing.assert_array_equal(slots[0][16:], [negatives[i * len(negatives) // 48] for i in range(48)])
