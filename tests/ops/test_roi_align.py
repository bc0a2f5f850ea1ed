"""RoIAlign and the choice of the pyramid level against mmcv's and detectron2's numbers."""

import re

import numpy as np
import pytest

from jld.ops.roi_align import pyramid_levels, roi_align
from jld.toolchain import jittor as jt
from tests.golden_cases import case
from tests.models.golden_models import assert_sampled, generated


def slots_of(rois, num_images):
    """(boxes [N, R, 4], whether a slot is real [N, R], slot of every row) of rows image, x1, y1, x2, y2."""
    images = rois[:, 0].astype(int)
    turns = np.array([(images[:row] == image).sum() for row, image in enumerate(images)], int)
    boxes = np.zeros((num_images, max(turns.max(initial=0) + 1, 1), 4), np.float32)
    real = np.zeros(boxes.shape[:2], bool)
    boxes[images, turns], real[images, turns] = rois[:, 1:], True
    return boxes, real, (images, turns)


def crops_of(maps, rois, levels, strides, weights=None, **settings):
    """Crops of the rows, and with `weights` of their shape the gradients of the weighted sum to the maps."""
    boxes, real, slots = slots_of(rois, maps[0].shape[0])
    padded = np.where(real, 0, -1).astype(np.int32)
    padded[slots] = levels
    crops = roi_align(maps, jt.array(boxes), jt.array(padded), strides, **settings)
    found = crops.numpy()
    assert not found[~real].any()
    if weights is None:
        return found[slots], None
    spread = np.zeros(found.shape, np.float32)
    spread[slots] = weights
    return found[slots], [g.numpy() for g in jt.grad((crops * jt.array(spread)).sum(), maps)]


def settings_of(name):
    """The arguments behind a name such as `size7_ratio2_unaligned`."""
    height, width, ratio, unaligned = re.fullmatch(
        r"size(\d+)(?:x(\d+))?_ratio(\d)(_unaligned)?", name
    ).groups()
    size = (int(height), int(width)) if width else int(height)
    return {"size": size, "sampling_ratio": int(ratio), "aligned": unaligned is None}


def test_crops_and_gradients_equal_golden():
    meta, arrays = case("t_roi_align")
    x, rois, seen = generated(meta, "x"), arrays["in/rois"], set()
    negative = np.float32([[0, 60, 60, 20, 30]])
    found, _ = crops_of([x], negative, 0, [4], size=7, sampling_ratio=2, aligned=False)
    assert arrays["out/negative_unaligned"].shape == found.shape
    names = {
        re.sub(r"(/norm|/sample|_sum)$", "", key).split("/")[1] for key in arrays if key.startswith("out/")
    }
    for name in names - {"negative_unaligned"}:
        settings = settings_of(name)
        has_gradient = any(key.startswith(f"grad/{name}/") for key in arrays)
        weights = generated(meta, f"grad_out/{settings['size']}").numpy() if has_gradient else None
        found, gradients = crops_of([x], rois, 0, [4], weights, **settings)
        if f"out/{name}" in arrays:
            np.testing.assert_allclose(found, arrays[f"out/{name}"], rtol=1e-4, atol=1e-4, err_msg=name)
        else:
            assert_sampled(meta, arrays, f"out/{name}", found, 1e-4)
            np.testing.assert_allclose(found.sum((1, 2, 3)), arrays[f"out/{name}_sum"], rtol=1e-3, atol=1e-2)
        if has_gradient and f"grad/{name}/x" in arrays:
            expected = arrays[f"grad/{name}/x"]
            np.testing.assert_allclose(
                gradients[0], expected, atol=1e-4 * np.abs(expected).max(), err_msg=name
            )
        elif has_gradient:
            assert_sampled(meta, arrays, f"grad/{name}/x", gradients[0], 1e-4)
        seen.add(name)
    assert len(seen) == 8


def test_a_pyramid_is_read_by_the_size_of_the_boxes():
    meta, arrays = case("t_roi_extractor")
    maps, rois = [generated(meta, f"x/{level}") for level in range(4)], arrays["in/rois"]
    boxes = jt.array(rois[:, 1:])
    for key in (key for key in arrays if key.startswith("out/levels/")):
        num_levels, finest = map(int, key.removeprefix("out/levels/").split("_"))
        found = pyramid_levels(boxes, [4 * 2**level for level in range(num_levels)], finest * 4)
        np.testing.assert_array_equal(found.numpy(), arrays[key], err_msg=key)
    for size in (7, 14):
        weights = generated(meta, f"grad_out/{size}").numpy()
        levels = arrays["out/levels/4_56"]
        found, gradients = crops_of(maps, rois, levels, [4, 8, 16, 32], weights, size=size, sampling_ratio=0)
        assert_sampled(meta, arrays, f"out/feat{size}", found, 1e-4)
        for level, gradient in enumerate(gradients):
            assert_sampled(meta, arrays, f"grad/feat{size}/x/{level}", gradient, 1e-4)
    few = slice(0, len(arrays["out/few14"]))
    found, _ = crops_of(maps, rois[few], levels[few], [4, 8, 16, 32], size=14, sampling_ratio=0)
    np.testing.assert_allclose(found, arrays["out/few14"], rtol=1e-4, atol=1e-4)
    none = roi_align(maps, jt.zeros((2, 0, 4)), jt.zeros((2, 0), "int32"), [4, 8, 16, 32], size=14)
    assert none.numpy().shape == (2, 0, *arrays["out/none14"].shape[1:])


def test_crops_equal_those_of_detectron2():
    meta, arrays = case("l_roi_align")
    x, rois = generated(meta, "x"), arrays["in/rois"]
    for name in ("s7_adaptive", "s7_2", "s14_adaptive", "s3_adaptive"):
        size, ratio = re.fullmatch(r"s(\d+)_(\w+)", name).groups()
        settings = {"size": int(size), "sampling_ratio": 0 if ratio == "adaptive" else int(ratio)}
        found, gradients = crops_of([x], rois, 0, [4], generated(meta, f"r/{name}").numpy(), **settings)
        np.testing.assert_allclose(found, arrays[f"out/{name}"], rtol=1e-4, atol=1e-4, err_msg=name)
        expected = arrays[f"grad/{name}/x"]
        np.testing.assert_allclose(gradients[0], expected, atol=1e-4 * np.abs(expected).max(), err_msg=name)
    levels = pyramid_levels(jt.array(arrays["in/level_boxes"]), (4, 8, 16, 32))
    np.testing.assert_array_equal(levels.numpy(), arrays["out/levels"])


def test_maps_and_strides_must_agree():
    with pytest.raises(ValueError, match="2 of 1 strides"):
        roi_align([jt.zeros((1, 1, 2, 2))] * 2, jt.zeros((1, 1, 4)), jt.zeros((1, 1), "int32"), [4])
