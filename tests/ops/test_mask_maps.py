"""Masks on the cells of maps beside bitmaps of whole images, and LGD's."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.data.instance_masks import PolygonMasks
from jld.ops.mask_maps import mask_maps
from tests import golden_cases
from tests.ops.test_mask_targets import on_device, star

SIZE = (96, 130)


@pytest.fixture(scope="module")
def scene():
    """Objects of one and of two parts, one that crosses the border, and an image with one object."""
    rng = np.random.default_rng(5)
    noise = rng.uniform(-20, 140, (40, 2))
    first = PolygonMasks.of([[star(rng, 40)], [star(rng, 7), star(rng, 9)], [noise]], size=SIZE)
    return [first, PolygonMasks.of([[star(rng, 20)]], size=SIZE)]


@pytest.mark.parametrize("cells", [SIZE, (24, 33), (7, 9), (1, 1)])
def test_both_forms_are_sampled_bitmaps(scene, cells):
    expected = np.zeros((2, 5, *SIZE), np.float32)
    for target, masks in zip(expected, scene, strict=True):
        target[: len(masks)] = masks.bitmaps().pixels
    rows, columns = (
        (np.arange(count) * np.float32(px / count)).astype(int) for count, px in zip(cells, SIZE, strict=True)
    )
    expected = expected[:, :, rows][:, :, :, columns]
    for masks in (scene, [each.bitmaps() for each in scene]):
        found = mask_maps(on_device(masks, SIZE), SIZE, *cells)
        assert found.dtype == "float32"
        np.testing.assert_array_equal(found.numpy(), expected)


def test_nothing_lies_beyond_an_image_of_its_own_size(scene):
    targets = on_device(scene, SIZE)
    limited = SimpleNamespace(masks=targets.masks, img_shapes=np.float32([[60, 80], [96, 40]]))
    whole, found = mask_maps(targets, SIZE, *SIZE).numpy(), mask_maps(limited, SIZE, *SIZE).numpy()
    assert whole[0, :, 60:].any() and whole[0, :, :, 80:].any() and whole[1, :, :, 40:].any()
    for image, (height, width) in enumerate(((60, 80), (96, 40))):
        np.testing.assert_array_equal(found[image, :, :height, :width], whole[image, :, :height, :width])
        found[image, :, :height, :width] = 0
    assert not found.any()
    with pytest.raises(ValueError, match="2 images with masks come with the sizes of 1"):
        mask_maps(SimpleNamespace(masks=targets.masks, img_shapes=limited.img_shapes[:1]), SIZE, 4, 4)
    with pytest.raises(ValueError, match="set with_masks=True"):
        mask_maps(SimpleNamespace(masks=None, img_shapes=None), SIZE, 4, 4)


@pytest.mark.golden
@pytest.mark.parametrize("name", golden_cases.param_cases("l_teacher_mask_*"))
def test_golden_lgd(name):
    meta, arrays = golden_cases.case(name)
    size, context = tuple(meta["teacher"]["padded"]), meta["teacher"]["add_context_box"]
    count = sum(key.startswith("in/gt_bboxes/") for key in arrays)
    masks = []
    for image in range(count):
        objects = range(len(arrays[f"in/gt_bboxes/{image}"]))
        parts = [[arrays.get(f"in/gt_polys/{image}/{row}/{part}") for part in range(4)] for row in objects]
        shapes = [[each.reshape(-1, 2) for each in row if each is not None] for row in parts]
        masks.append(PolygonMasks.of(shapes, size=size))
    own = np.stack([arrays[f"in/img_shape/{image}"] for image in range(count)])
    targets = SimpleNamespace(masks=on_device(masks, size).masks, img_shapes=own)
    for level in range(3, 7):
        expected = arrays[f"out/mask/p{level}"]
        found = mask_maps(targets, size, *expected.shape[1:]).numpy()
        # An image without objects has a row of its own there, and one with a context box one more.
        rows = [max(len(each), 1) + (context and len(each) > 0) for each in masks]
        starts = np.cumsum([0, *rows[:-1]])
        assert sum(rows) == len(expected)
        for image, each in enumerate(masks):
            own_rows = expected[starts[image] : starts[image] + len(each)]
            np.testing.assert_array_equal(found[image, : len(each)], own_rows)
