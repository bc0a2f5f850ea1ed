"""Matching by overlap: each image's own priors, and strict ties."""

import numpy as np
import pytest

from jld.ops.max_iou_match import max_iou_match
from jld.ops.rotated_match import TIES, rotated_match
from tests.ops.own_priors import own_and_alone

IMAGES, PRIORS, SLOTS = 3, 600, 5  # more priors than a chunk holds


def arrays(rng, sizes):
    """(priors, boxes, slot mask, usable), every image with its own."""
    masks = np.float32(rng.uniform(size=(IMAGES, SLOTS)) < 0.7)
    masks[:, 0] = 1
    usable = np.float32(rng.uniform(size=(IMAGES, PRIORS)) < 0.9)
    return [sizes(rng, IMAGES, PRIORS), sizes(rng, IMAGES, SLOTS), masks, usable]


def corners(rng, *shape):
    """Corners on a coarse grid, so that overlaps tie."""
    corner, size = rng.integers(0, 12, (*shape, 2)) * 4, rng.integers(1, 6, (*shape, 2)) * 4
    return np.concatenate([corner, corner + size], -1).astype(np.float32)


def rotated(rng, *shape):
    center, size = rng.uniform(5, 45, (*shape, 2)), rng.uniform(4, 24, (*shape, 2))
    return np.concatenate([center, size, rng.uniform(-2, 2, (*shape, 1))], -1).astype(np.float32)


def assert_equal(found):
    for together, apart in zip(*found, strict=True):
        np.testing.assert_array_equal(together, apart)
    best, _, claimed = found[0][:3]
    assert (best > 0).any(axis=1).all() and (claimed >= 0).any(axis=1).all()


@pytest.mark.parametrize("assign_all", [True, False])
def test_each_images_own_priors(assign_all):
    assert_equal(
        own_and_alone(
            lambda *inputs: max_iou_match(*inputs, min_pos_iou=0.1, assign_all=assign_all),
            arrays(np.random.default_rng(0), corners),
        )
    )


@pytest.mark.parametrize("ties", TIES)
def test_each_images_own_rotated_priors(ties):
    def match(*inputs):
        found = rotated_match(*inputs, min_pos_iou=0.1, ties=ties)
        return found.best, found.first, found.claimed, found.reached

    assert_equal(own_and_alone(match, arrays(np.random.default_rng(1), rotated)))
