"""Mask targets beside pycocotools, mmDetection and detectron2."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.boxes.masks import fill_polygons, to_bitmap
from jld.data.instance_masks import BitmapMasks, PolygonMasks
from jld.models.targets import Targets
from jld.ops.mask_targets import BitmapTargets, PolygonTargets, mask_targets
from jld.toolchain import jittor as jt
from tests import golden_cases
from tests.golden_masks import polygons, unpacked


def on_device(masks, size, slots=None):
    """Ground truth of some images with nothing but masks."""
    arrays = masks[0].collate(masks, slots or max(map(len, masks)) + 2, size)
    empty = np.zeros((len(masks), 1, 4)), np.zeros((len(masks), 1))
    keys = ("boxes", "box_mask", "boxes_ignore", "ignore_mask")
    batch = dict(zip(keys, empty * 2, strict=True)) | {
        "labels": empty[1],
        "pad_shapes": [size] * len(masks),
        "img_shapes": [size] * len(masks),
    }
    return Targets.from_batch(batch | arrays)


def targets_of(masks, rois, index, size, frame=28):
    rois, index = jt.array(np.float32(rois)), jt.array(np.int32(index))
    return mask_targets(on_device(masks, size), rois, index, frame).numpy()


def framed(parts, roi, size):
    """The slow way: move and stretch the polygons, fill them with pycocotools."""
    roi = np.float32(roi)
    scale = size / np.maximum((roi[2:] - roi[:2]).astype(np.float64), 0.1)
    moved = [(part.astype(np.float32).astype(np.float64) - roi[:2]) * scale for part in parts]
    return to_bitmap(fill_polygons(moved, (size, size)))


def star(rng, count):
    angles = np.sort(rng.uniform(0, 2 * np.pi, count))
    radii = rng.uniform(5, 60, count)[:, None]
    return rng.uniform(20, 120, 2) + radii * np.stack([np.cos(angles), np.sin(angles)], 1)


@pytest.fixture(scope="module")
def scene():
    """Two images of three objects: stars, one in two parts, a line there and back, a square."""
    rng = np.random.default_rng(3)
    back = np.float64([[10, 10], [50, 30], [90, 10], [50, 30]])
    square = np.float64([[8, 8], [40, 8], [40, 40], [8, 40]])
    first = PolygonMasks.of([[star(rng, 40)], [star(rng, 7), star(rng, 9)], [square]], size=(128, 160))
    second = PolygonMasks.of([[back], [rng.uniform(0, 120, (30, 2))], [star(rng, 300)]], size=(128, 160))
    return [first, second]


@pytest.mark.parametrize("size", [7, 28, 64])
def test_polygons_are_filled_as_pycocotools_fills_them(scene, size):
    rng = np.random.default_rng(size)
    corner = rng.uniform(-20, 110, (2, 60, 2))
    rois = np.concatenate([corner, corner + rng.uniform(0, 70, (2, 60, 2))], 2).astype(np.float32)
    rois[0, :3] = [[8, 8, 40, 40], [8, 8, 8 + size, 8 + size], [5, 5, 5, 5]]
    index = rng.integers(0, 3, (2, 60))
    index[0, :3] = 2
    found = targets_of(scene, rois, index, (128, 160), size)
    expected = [[framed(scene[n].parts(index[n, r]), rois[n, r], size) for r in range(60)] for n in range(2)]
    np.testing.assert_array_equal(found, expected)
    assert 0.05 < found.mean() < 0.95


def test_no_object_and_no_masks(scene):
    rois = np.tile(np.float32([0, 0, 160, 128]), (2, 4, 1))
    index = [[-1, 3, 5, 0], [9, -7, 4, 2]]  # 3 and 4 are empty slots
    for masks in (scene, [each.bitmaps() for each in scene]):
        found = targets_of(masks, rois, index, (128, 160), 14)
        assert not found[:, :3].any() and found[0, 3].any() and found[1, 3].any()
    nothing = [PolygonMasks.of([], size=(8, 8))] * 2
    assert not targets_of(nothing, rois, index, (8, 8), 14).any()
    assert targets_of(scene, np.zeros((2, 0, 4)), np.zeros((2, 0)), (128, 160)).shape == (2, 0, 28, 28)


def test_bitmaps_are_resampled_and_cut():
    rng = np.random.default_rng(0)
    bitmaps = (rng.random((1, 2, 30, 40)) < 0.5).astype(np.uint8)
    rois = np.float32([[[3, 4, 17, 18], [-2, -3, 12, 11], [30, 20, 44, 34]]])
    found = targets_of([BitmapMasks(bitmaps[0])], rois, [[0, 1, 0]], (30, 40), 14)
    # Bins of one pixel whose only sample lies in the middle of it: the pixel itself, or nothing outside.
    padded = np.pad(bitmaps[0], ((0, 0), (5, 5), (5, 5)), "edge")
    np.testing.assert_array_equal(found[0, 0], bitmaps[0, 0, 4:18, 3:17])
    np.testing.assert_array_equal(found[0, 1, 3:, 2:], bitmaps[0, 1, :11, :12])
    np.testing.assert_array_equal(found[0, 1, 2, 2:], padded[1, 4, 5:17])  # one pixel outside: the border's
    assert not found[0, 1, :2].any() and not found[0, 2, 11:].any()


def test_what_does_not_fit_is_refused(scene):
    targets = on_device(scene, (128, 160))
    rois, index = jt.zeros((2, 3, 4)), jt.zeros((2, 3), "int32")
    with pytest.raises(ValueError, match="set with_masks=True"):
        mask_targets(SimpleNamespace(masks=None), rois, index, 28)
    with pytest.raises(ValueError, match="1 to 64 pixels along a side, not 65"):
        mask_targets(targets, rois, index, 65)
    with pytest.raises(ValueError, match=r"rois \(2, 2, 4\) and gt_index \(2, 3\)"):
        mask_targets(targets, rois[:, :2], index, 28)
    assert isinstance(targets.masks, PolygonTargets)
    assert isinstance(on_device([each.bitmaps() for each in scene], (128, 160)).masks, BitmapTargets)


@pytest.mark.golden
@pytest.mark.parametrize("name", golden_cases.param_cases("t_mask_head_*"))
def test_golden_mmdetection(name):
    meta, arrays = golden_cases.case(name)
    size = tuple(meta["packed"]["in/gt_masks/0"][1:])
    given = [polygons(arrays, image, size) for image in (0, 1)]
    bitmaps = [BitmapMasks(unpacked(meta, arrays, f"in/gt_masks/{image}")) for image in (0, 1)]
    for poly, expected in zip(given, bitmaps, strict=True):
        np.testing.assert_array_equal(poly.bitmaps().pixels, expected.pixels)
    index = [arrays[f"in/sample/pos_assigned_gt_inds/{image}"] for image in (0, 1)]
    count = max(map(len, index))
    padded = np.stack([np.pad(each, (0, count - len(each)), constant_values=-1) for each in index])
    rois = np.zeros((2, count, 4), np.float32)
    rows = arrays["out/rois"]
    for image in (0, 1):
        own = rows[rows[:, 0] == image][:, 1:]
        rois[image, : len(own)] = np.clip(own, 0, [*size[::-1], *size[::-1]])
    is_real = padded >= 0
    for masks, key in ((given, "polygon"), (bitmaps, "bitmap")):
        found = targets_of(masks, rois, padded, size)
        expected = unpacked(meta, arrays, f"out/tgt/{key}")
        wrong = found[is_real] != expected
        if key == "bitmap" and len(expected):
            wrong &= unpacked(meta, arrays, "out/tgt/fragile_bitmap") == 0
        assert not wrong.any() and not found[~is_real].any(), key


@pytest.mark.golden
def test_golden_detectron2():
    _, arrays = golden_cases.case("l_mask_paste")
    objects = []
    for index in range(6):
        parts = (arrays.get(f"in/polys/{index}/{part}") for part in range(2))
        objects.append([part.reshape(-1, 2) for part in parts if part is not None])
    masks = PolygonMasks.of(objects, size=(128, 160))
    bits = np.unpackbits(arrays["out/bitmask"])[: 6 * 128 * 160].reshape(6, 128, 160)
    np.testing.assert_array_equal(masks.bitmaps().pixels, bits)
    boxes = arrays["in/boxes"][None]
    for size in (7, 28):
        found = targets_of([masks], boxes, [range(6)], (128, 160), size)
        np.testing.assert_array_equal(found[0], arrays[f"out/crop/{size}"])
