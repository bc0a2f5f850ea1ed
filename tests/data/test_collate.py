from __future__ import annotations

import numpy as np
import pytest

from jld.data.collate import bucket, collate
from jld.data.transforms import finish_sample, new_sample


@pytest.mark.parametrize("count, expected", [(0, 8), (1, 8), (8, 8), (9, 16), (16, 16), (17, 32), (100, 128)])
def test_bucket(count, expected):
    assert bucket(count) == expected


def test_samples_are_padded_to_the_largest():
    rng = np.random.default_rng(0)
    images = [rng.random((5, 9, 3), np.float32), rng.random((8, 4, 3), np.float32)]
    boxes = np.sort(rng.random((11, 4), np.float32))
    first = new_sample(
        images[0], boxes=boxes, labels=np.arange(1, 12), img_id="a", img_file="a.jpg", pad_shape=(6, 10)
    )
    second = new_sample(
        images[1], boxes_ignore=boxes[:2], img_id=7, scale_factor=np.array([2, 3, 2, 3], np.float32)
    )
    batch = collate([finish_sample(first), finish_sample(second)])

    assert batch["images"].shape == (2, 3, 8, 9) and batch["images"].dtype == np.float32
    np.testing.assert_array_equal(batch["images"][0, :, :5], images[0].transpose(2, 0, 1))
    np.testing.assert_array_equal(batch["images"][1, :, :, :4], images[1].transpose(2, 0, 1))
    assert not batch["images"][0, :, 5:].any() and not batch["images"][1, :, :, 4:].any()

    assert batch["boxes"].shape == (2, 16, 4) and batch["boxes_ignore"].shape == (2, 8, 4)
    np.testing.assert_array_equal(batch["boxes"][0, :11], boxes)
    np.testing.assert_array_equal(batch["box_mask"], [[1] * 11 + [0] * 5, [0] * 16])
    np.testing.assert_array_equal(batch["labels"][0], [*range(1, 12), *[0] * 5])
    np.testing.assert_array_equal(batch["ignore_mask"], [[0] * 8, [1, 1, 0, 0, 0, 0, 0, 0]])
    np.testing.assert_array_equal(batch["boxes_ignore"][1, :2], boxes[:2])
    assert not batch["boxes"][0, 11:].any() and not batch["boxes"][1].any()

    np.testing.assert_array_equal(batch["img_shapes"], [[5, 9], [8, 4]])
    np.testing.assert_array_equal(batch["pad_shapes"], [[6, 10], [8, 4]])
    np.testing.assert_array_equal(batch["scale_factors"], [[1, 1, 1, 1], [2, 3, 2, 3]])
    assert batch["img_ids"] == ["a", 7] and batch["img_files"] == ["a.jpg", ""]
    kinds = {key: batch[key].dtype for key in batch if isinstance(batch[key], np.ndarray)}
    assert kinds.pop("labels") == np.int32 and set(kinds.values()) == {np.dtype(np.float32)}


def test_boxes_without_width_or_height_are_no_objects():
    """A box that only touches the border is clipped to a line; its loss would be NaN."""
    image = np.zeros((8, 8, 3), np.float32)
    lines = np.float32([[1, 2, 5, 6], [8, 2, 8, 6], [1, 0, 5, 0]])
    upright = new_sample(image, boxes=lines, labels=np.arange(3))
    turned = new_sample(image, boxes=np.float32([[4, 4, 3, 2, 0.1], [4, 4, 0, 2, 0.1]]), labels=np.arange(2))
    for sample, expected in ((upright, [1, 0, 0]), (turned, [1, 0, 0])):
        mask = collate([finish_sample(sample)])["box_mask"]
        np.testing.assert_array_equal(mask[0, :3], expected)


def test_rotated_boxes_keep_their_five_numbers():
    image, boxes = np.zeros((4, 4, 3), np.float32), np.arange(15, dtype=np.float32).reshape(3, 5)
    first = finish_sample(new_sample(image, boxes=boxes, labels=np.arange(3)))
    second = {**first, "boxes": boxes[:0], "labels": np.arange(0)}
    for sample in (first, second):
        sample["boxes_ignore"] = boxes[:1]
    batch = collate([second, first])
    assert batch["boxes"].shape == (2, 8, 5) and batch["boxes_ignore"].shape == (2, 8, 5)
    np.testing.assert_array_equal(batch["boxes"][1, :3], boxes)
    assert not batch["boxes"][0].any() and not batch["box_mask"][0].any()
