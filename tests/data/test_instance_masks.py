"""Masks follow their image, in both forms, into a batch."""

import numpy as np
import pytest

from jld.boxes.masks import from_bitmap, to_bitmap
from jld.data import DrawnDataset, Normalize, Pad, RandomFlip, Resize, RotatedResize, collate
from jld.data.instance_masks import BitmapMasks, PolygonMasks, Polygons
from jld.data.mask_table import EMPTY, MaskTable
from jld.data.transforms import DIRECTIONS, finish_sample, new_sample
from jld.errors import ConfigError

RNG = np.random.default_rng(0)
SQUARE = np.float64([[2, 1], [6, 1], [6, 4], [2, 4]])
TWO = np.float64([[0, 0], [3, 0], [3, 2]]), np.float64([[8, 8], [10, 8], [10, 12], [8, 12]])


def polygons():
    return PolygonMasks.of([[SQUARE], list(TWO), []], size=(16, 20))


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_flips_are_those_of_the_image(direction):
    masks = PolygonMasks.of([[SQUARE], [TWO[1]]], size=(16, 20))
    bitmaps = masks.bitmaps()
    down, along = direction != "horizontal", direction != "vertical"
    expected = bitmaps.pixels[:, :: -1 if down else 1, :: -1 if along else 1]
    np.testing.assert_array_equal(bitmaps.flipped(direction).pixels, expected)
    np.testing.assert_array_equal(masks.flipped(direction).bitmaps().pixels, expected)
    again = polygons().flipped(direction).flipped(direction)
    np.testing.assert_array_equal(again.vertices, polygons().vertices)


def test_scaling_and_padding():
    masks = polygons().scaled((32, 60)).padded((40, 64))
    assert masks.size == (40, 64)
    np.testing.assert_array_equal(masks.parts(0)[0], SQUARE * [3, 2])
    np.testing.assert_array_equal(masks.parts(1)[1], TWO[1] * [3, 2])
    # Whole factors repeat pixels, so both forms agree on squares.
    squares = PolygonMasks.of([[SQUARE]], size=(16, 20))
    bitmaps = squares.bitmaps().scaled((32, 60)).padded((40, 64))
    np.testing.assert_array_equal(squares.scaled((32, 60)).padded((40, 64)).bitmaps().pixels, bitmaps.pixels)
    assert bitmaps.size == (40, 64) and [to_bitmap(mask).sum() for mask in bitmaps.rles()] == [12 * 6]
    assert BitmapMasks(np.zeros((0, 4, 5), np.uint8)).scaled((8, 10)).pixels.shape == (0, 8, 10)


def test_taking_objects():
    taken = polygons().take(np.array([1, 2, 1]))
    assert len(taken) == 3 and [len(taken.parts(index)) for index in range(3)] == [2, 0, 2]
    np.testing.assert_array_equal(taken.parts(2)[1], TWO[1])
    assert len(polygons().take(np.zeros(0, int))) == 0


def test_a_table_of_polygons_run_lengths_and_nothing():
    mask = np.zeros((16, 20), np.uint8)
    mask[3:7, 5:9] = 1
    table = MaskTable.of(
        Polygons.of([[SQUARE], [], []]), ["", from_bitmap(mask)["counts"], ""], [0, 0, EMPTY]
    )
    again = table[np.array([2, 1, 0])]
    assert again.is_usable.tolist() == [False, True, True] and len(again) == 3
    areas = [int(to_bitmap(each).sum()) for each in again.rles(np.tile((16, 20), (3, 1)))]
    assert areas == [0, 16, 12]
    sample = table[np.array([1, 0])].sample((16, 20), (16, 20))
    np.testing.assert_array_equal(sample.bitmaps().pixels[0], mask)
    np.testing.assert_array_equal(sample.parts(1)[0], SQUARE)


def test_a_batch_of_polygons():
    sample = finish_sample(
        new_sample(np.zeros((16, 20, 3)), boxes=np.zeros((3, 4), np.float32), masks=polygons())
    )
    other = finish_sample(new_sample(np.zeros((8, 8, 3)), masks=PolygonMasks.of([], size=(8, 8))))
    batch = collate([sample, other])
    vertices, parts, objects = (
        batch[f"mask_{name}"] for name in ("vertices", "part_starts", "object_starts")
    )
    assert vertices.shape == (2, 16, 2) and vertices.dtype == np.float32
    assert parts.tolist() == [[0, 4, 7, *[11] * 6], [0] * 9] and parts.dtype == np.int32
    assert objects.tolist() == [[0, 1, 3, *[3] * 6], [0] * 9]
    np.testing.assert_array_equal(vertices[0, 4:7], TWO[0])
    assert "mask_vertices" not in collate([finish_sample(new_sample(np.zeros((8, 8, 3))))])


def test_a_batch_of_bitmaps():
    bitmaps = PolygonMasks.of([[SQUARE]], size=(16, 20)).bitmaps()
    sample = new_sample(np.zeros((16, 20, 3)), boxes=np.zeros((1, 4), np.float32), masks=bitmaps)
    other = new_sample(np.zeros((24, 8, 3)), masks=PolygonMasks.of([], size=(24, 8)).bitmaps())
    batch = collate([finish_sample(sample), finish_sample(other)])
    assert batch["mask_bitmaps"].shape == (2, 8, 24, 20) and batch["mask_bitmaps"].dtype == np.uint8
    np.testing.assert_array_equal(batch["mask_bitmaps"][0, 0, :16], bitmaps.pixels[0])
    assert batch["mask_bitmaps"].sum() == 12


@pytest.mark.parametrize("form", ["polygons", "bitmaps"])
def test_masks_stay_on_their_objects(form):
    steps = [Resize(192, 192), RandomFlip(1.0), Normalize([0] * 3, [1] * 3), Pad(size=256)]
    dataset = DrawnDataset(num_images=20, with_masks=form, transforms=steps)
    compared = 0
    for index in range(20):
        sample = dataset.get(index, RNG)
        masks = sample["masks"]
        assert len(masks) == len(sample["boxes"]) and masks.size == (256, 256)
        for box, mask in zip(sample["boxes"], masks.rles(), strict=True):
            rows, columns = np.nonzero(to_bitmap(mask))
            extent = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
            # The visible part lies in the box of the whole, which has no thickness of edges.
            assert (extent[:2] >= box[:2] - 3).all() and (extent[2:] <= box[2:] + 3).all()
            compared += np.abs(extent - box).max() < 5
    assert compared > 40


def test_transforms_that_leave_masks_behind_are_refused():
    def brighten(sample, rng):
        return sample

    with pytest.raises(ConfigError, match=r"DrawnDataset.transforms.1 is function, which does not move"):
        DrawnDataset(num_images=1, with_masks=True, transforms=[Resize(), brighten])
    with pytest.raises(ConfigError, match=r"transforms\.0 is RotatedResize"):
        DrawnDataset(num_images=1, with_masks=True, transforms=[RotatedResize()])
    brighten.carries_masks = True
    DrawnDataset(num_images=1, with_masks=True, transforms=[brighten])
    with pytest.raises(ConfigError, match="with_masks is 'bitmap': did you mean 'bitmaps'"):
        DrawnDataset(num_images=1, with_masks="bitmap")
