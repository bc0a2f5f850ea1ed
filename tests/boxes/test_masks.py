"""Run lengths, filled polygons and outlines."""

import numpy as np
import pytest

from jld.boxes.masks import (
    fill_polygons,
    from_bitmap,
    from_counts,
    mask_areas,
    mask_boxes,
    outline,
    read_counts,
    to_bitmap,
)


def noise(rng, count=60):
    for _ in range(count):
        yield (rng.random(rng.integers(1, 30, 2)) < rng.random()).astype(np.uint8)


def test_bitmaps_counts_and_text_are_one_mask():
    for bitmap in noise(np.random.default_rng(0)):
        mask = from_bitmap(bitmap)
        np.testing.assert_array_equal(to_bitmap(mask), bitmap)
        column = np.concatenate([[0], bitmap.T.reshape(-1)])
        ends = [*np.flatnonzero(np.diff(column)), bitmap.size]
        assert read_counts(mask["counts"]).tolist() == np.diff([0, *ends]).tolist()
        assert from_counts(np.diff([0, *ends]).tolist(), bitmap.shape) == mask
        assert mask_areas([mask]) == bitmap.sum()
    assert mask_areas([]).shape == (0,) and mask_boxes([]).shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "reason"),
    [("0P1~", "characters"), ("é", "characters"), ("0P", "ends within"), ("oooooooo0", "too large")],
)
def test_text_that_holds_no_counts(text, reason):
    with pytest.raises(ValueError, match=reason):
        read_counts(text)


def test_an_outline_is_filled_to_the_mask():
    rng = np.random.default_rng(1)
    ring = np.pad(np.pad(np.zeros((3, 4), np.uint8), 2, constant_values=1), 1)
    ring[4, 4] = 1  # an island in the hole
    touching = np.eye(4, dtype=np.uint8)
    for bitmap in (*noise(rng), ring, touching, np.ones((5, 6), np.uint8)):
        vertices = outline(bitmap)
        filled = fill_polygons([vertices] if bitmap.any() else [], bitmap.shape)
        np.testing.assert_array_equal(to_bitmap(filled), bitmap)
    assert outline(np.zeros((3, 3))).shape == (0, 2)
    assert len(outline(np.ones((50, 60)))) == 5  # corners alone


def test_extents_of_masks():
    bitmap = np.zeros((20, 30), np.uint8)
    bitmap[3:9, 5:25] = 1
    assert mask_boxes([from_bitmap(bitmap), from_bitmap(bitmap * 0)]).tolist() == [[5, 3, 25, 9], [0] * 4]
