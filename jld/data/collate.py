"""Samples of different sizes and object counts become the arrays of one batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from jld.data.transforms import Sample

SMALLEST_BUCKET = 8


def bucket(count: int) -> int:
    """The next power of two, at least 8: few distinct sizes mean few distinct shapes on the device."""
    return max(SMALLEST_BUCKET, 1 << max(count - 1, 0).bit_length())


def collate(samples: Sequence[Sample]) -> dict[str, Any]:
    """Pads samples at the right, the bottom and behind the last box, and stacks them.

    Args:
        samples: N finished samples, image [3, h, w].
    Returns:
        images [N, 3, H, W] with the largest H and W of the batch, zeros beyond each image; boxes [N, G, 4]
        xyxy px or [N, G, 5] rotated boxes, as the samples have them, labels [N, G] int32 (0 where padded),
        box_mask [N, G] 1/0, 0 too for a box that the transforms left without width or height, which no loss
        could learn; boxes_ignore [N, Gi, 4 or 5], ignore_mask [N, Gi]; img_shapes, pad_shapes,
        ori_shapes [N, 2] (height, width), scale_factors [N, 4]; img_ids, img_files lists. G and Gi are the
        batch's largest counts, rounded up by `bucket`. With masks either mask_bitmaps [N, G, H, W] uint8, or
        mask_vertices [N, V, 2] x, y px, mask_part_starts [N, Q + 1] and mask_object_starts [N, G + 1] int32
        as in `jld.data.instance_masks.Polygons`; polygons and objects behind the last one are empty.
    """
    boxes, box_mask = _pad_rows([sample["boxes"] for sample in samples])
    ignored, ignore_mask = _pad_rows([sample["boxes_ignore"] for sample in samples])
    labels = np.zeros(box_mask.shape, np.int32)
    for row, sample in zip(labels, samples, strict=True):
        row[: len(sample["labels"])] = sample["labels"]
    images = _stack_images([sample["image"] for sample in samples])
    masks = [sample["masks"] for sample in samples]
    return {
        "images": images,
        "boxes": boxes,
        "labels": labels,
        "box_mask": box_mask,
        "boxes_ignore": ignored,
        "ignore_mask": ignore_mask,
        "img_shapes": np.array([sample["img_shape"] for sample in samples], np.float32),
        "pad_shapes": np.array([sample["pad_shape"] for sample in samples], np.float32),
        "ori_shapes": np.array([sample["ori_shape"] for sample in samples], np.float32),
        "scale_factors": np.array([sample["scale_factor"] for sample in samples], np.float32),
        "img_ids": [sample["img_id"] for sample in samples],
        "img_files": [sample["img_file"] for sample in samples],
        **({} if masks[0] is None else masks[0].collate(masks, labels.shape[1], images.shape[2:])),
    }


def _stack_images(images: Sequence[np.ndarray]) -> np.ndarray:
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    stacked = np.zeros((len(images), 3, height, width), np.float32)
    for target, image in zip(stacked, images, strict=True):
        target[:, : image.shape[1], : image.shape[2]] = image
    return stacked


def _pad_rows(boxes: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    count = bucket(max(len(rows) for rows in boxes))
    padded = np.zeros((len(boxes), count, boxes[0].shape[1]), np.float32)
    mask = np.zeros((len(boxes), count), np.float32)
    for index, rows in enumerate(boxes):
        padded[index, : len(rows)] = rows
        sides = rows[:, 2:4] if rows.shape[1] == 5 else rows[:, 2:] - rows[:, :2]
        mask[index, : len(rows)] = (sides > 0).all(1)
    return padded, mask
