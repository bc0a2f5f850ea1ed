"""Pasting of masks beside a plain bilinear loop, mmDetection and detectron2."""

import json
import tracemalloc

import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.boxes.mask_pasting import paste_masks
from jld.boxes.masks import from_bitmap, to_bitmap
from jld.data.results import write_coco_results
from tests import golden_cases
from tests.golden_masks import unpacked


def pasted(prob, box, size):
    """[H, W] probability of every pixel, one by one."""
    prob, (x1, y1, x2, y2) = np.pad(prob.astype(np.float64), 1), box
    soft = np.zeros(size)
    for y, x in np.ndindex(*size):
        down = (y + 0.5 - y1) / (y2 - y1) * (len(prob) - 2) + 0.5
        along = (x + 0.5 - x1) / (x2 - x1) * (len(prob) - 2) + 0.5
        if 0 <= down < len(prob) - 1 and 0 <= along < len(prob) - 1:
            i, j = int(down), int(along)
            rows, columns = np.array([i + 1 - down, down - i]), np.array([j + 1 - along, along - j])
            soft[y, x] = rows @ prob[i : i + 2, j : j + 2] @ columns
    return soft


def test_every_pixel_asks_at_its_centre():
    rng = np.random.default_rng(0)
    size, probs = (20, 26), rng.random((6, 7, 7)).astype(np.float32)
    corner = rng.uniform(-5, 15, (6, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(0.4, 18, (6, 2))], 1).astype(np.float32)
    boxes[0] = [0, 0, 26, 20]
    masks = paste_masks(probs, boxes, size)
    for prob, box, mask in zip(probs, boxes, masks, strict=True):
        soft = pasted(prob, box, size)
        is_clear = np.abs(soft - 0.5) > 1e-5
        np.testing.assert_array_equal(to_bitmap(mask)[is_clear], (soft >= 0.5)[is_clear])
        assert mask == from_bitmap(to_bitmap(mask))  # the shortest run lengths
    everything = paste_masks(np.ones((1, 7, 7)), [[-30, -30, 60, 60]], size)
    assert to_bitmap(everything[0]).all()


def test_boxes_without_an_area_and_outside_of_the_image():
    boxes = [[5, 5, 5, 9], [5, 5, 9, 5], [9, 9, 5, 5], [-9, 2, -3, 6], [40, 2, 50, 6], [np.nan, 2, 3, 6]]
    masks = paste_masks(np.ones((6, 4, 4)), boxes, (20, 30))
    assert not any(to_bitmap(mask).any() for mask in masks)
    assert paste_masks(np.zeros((0, 4, 4)), np.zeros((0, 4)), (20, 30)) == []
    with pytest.raises(ValueError, match=r"masks \(2, 4, 4\) and boxes \(1, 4\)"):
        paste_masks(np.ones((2, 4, 4)), [[0, 0, 1, 1]], (20, 30))


@pytest.mark.golden
def test_golden_mmdetection():
    meta, arrays = golden_cases.case("t_mask_head_default")
    probs = 1 / (1 + np.exp(-arrays["in/paste/mask_pred"].astype(np.float64)))
    boxes = arrays["in/paste/dets"][:, :4]
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(1)
    fragile = unpacked(meta, arrays, "out/paste/fragile") != 0
    # As in mmDetection, detections are in px of the network input; the image is the original or that input.
    scale = arrays["in/scale_factor/0"]
    for key, given in (("rescale1", boxes / scale), ("rescale0", boxes)):
        expected = unpacked(meta, arrays, f"out/paste/{key}")
        found = np.stack([to_bitmap(mask) for mask in paste_masks(probs, given, expected.shape[1:])])
        wrong = (found != expected)[has_area]
        assert (
            wrong.mean() < 1e-4 and not (wrong & ~fragile[has_area] if key == "rescale1" else wrong[:0]).any()
        )
        assert expected.any(axis=(1, 2)).sum() > 5 and not found[~has_area].any()


@pytest.mark.golden
def test_golden_detectron2():
    meta, arrays = golden_cases.case("l_mask_paste")
    probs = golden_cases.fill.generate(meta["generated"]["prob"])
    expected = np.unpackbits(arrays["out/pasted"])[: 6 * 128 * 160].reshape(6, 128, 160)
    near = np.abs(arrays["out/pasted_uint8"].astype(int) - 127) <= 1  # within a hundredth of one half
    found = np.stack([to_bitmap(mask) for mask in paste_masks(probs, arrays["in/boxes"], (128, 160))])
    assert not ((found != expected) & ~near).any() and (found != expected).mean() < 1e-5


def blobs(rng, count, size=28):
    """[count, size, size] smooth masks, as networks predict them."""
    coarse = rng.random((count, 4, 4))
    steps = np.linspace(0, 2.999, size)
    low, share = steps.astype(int), steps % 1
    rows = coarse[:, low] * (1 - share)[:, None] + coarse[:, low + 1] * share[:, None]
    return (rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share).astype(np.float32)


def test_masks_of_five_thousand_images_fit_into_memory(tmp_path):
    """10 images with 100 masks each, a 500th of COCO's val2017, must stay below a 500th of 1 GB."""
    rng = np.random.default_rng(0)
    probs, size = blobs(rng, 100), (480, 640)
    corner = rng.uniform(0, 300, (100, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 320, (100, 2))], 1)
    tracemalloc.start()
    found = []
    for index in range(10):
        masks = paste_masks(probs, boxes, size)
        found.append(Detections(index, np.ones(100), np.zeros(100), boxes=boxes, masks=masks))
    held, peak = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    path = write_coco_results(found, [1], tmp_path / "segm.json", what="segmentation")
    writing = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert held < 2e6 and peak < held + 20e6 and writing < held + 1e6
    entries = json.loads(path.read_text())
    assert len(entries) == 1000 and entries[100]["segmentation"] == found[1].masks[0]
