from __future__ import annotations

import numpy as np
import pytest

from jld.data.transforms import Compose, Normalize, Pad, RandomFlip, Resize, new_sample
from jld.errors import ConfigError, DataError
from jld.registry import build
from tests.tiny_data import paint


def sample_of(width, height, boxes):
    return new_sample(paint((width, height), boxes), boxes=np.array(boxes, np.float32).reshape(-1, 4))


def bright_extent(image):
    """Extent of the pixels that are more bright than dark, as xyxy."""
    rows, columns = np.nonzero(image[:, :, 0] > 120)
    return np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])


@pytest.mark.parametrize(
    "size, limits, expected",
    [
        ((480, 640), (800, 1333), (800, 1067)),  # 640 * 800 / 480 = 1066.67
        ((427, 640), (800, 1333), (800, 1199)),
        ((300, 1000), (800, 1333), (400, 1333)),  # the long side decides
        ((1000, 300), (800, 1333), (1333, 400)),
        ((1, 900), (8, 90), (1, 90)),  # int(0.1 + 0.5) would be no pixel at all
    ],
)
def test_resize_fits_into_both_limits(size, limits, expected):
    sample = Resize(*limits)(sample_of(size[1], size[0], []), np.random.default_rng(0))
    assert sample["image"].shape[:2] == expected == sample["img_shape"] == sample["pad_shape"]
    assert sample["ori_shape"] == size


def test_resize_multiplies_boxes_by_the_exact_ratio_and_clips():
    sample = sample_of(427, 640, [[10, 20, 30, 40], [-5, -5, 500, 700]])
    sample["boxes_ignore"] = np.array([[1, 2, 3, 4]], np.float32)
    sample = Resize(800, 1333)(sample, np.random.default_rng(0))
    ratio = np.float32(800 / 427), np.float32(1199 / 640)
    np.testing.assert_allclose(sample["scale_factor"], [*ratio, *ratio])
    np.testing.assert_allclose(
        sample["boxes"][0], [10 * ratio[0], 20 * ratio[1], 30 * ratio[0], 40 * ratio[1]]
    )
    np.testing.assert_array_equal(sample["boxes"][1], [0, 0, 800, 1199])
    np.testing.assert_allclose(
        sample["boxes_ignore"][0], [ratio[0], 2 * ratio[1], 3 * ratio[0], 4 * ratio[1]]
    )
    assert sample["boxes"].dtype == sample["boxes_ignore"].dtype == np.float32


def test_resize_without_ratio_stretches():
    sample = Resize(30, 90, keep_ratio=False)(sample_of(45, 60, [[9, 12, 18, 24]]), np.random.default_rng(0))
    assert sample["img_shape"] == (30, 90)
    np.testing.assert_allclose(sample["boxes"], [[18, 6, 36, 12]])


def test_multiscale_range_draws_every_length_and_nothing_else():
    resize, rng = Resize([480, 483], 1333, multiscale_mode="range"), np.random.default_rng(3)
    drawn = {min(resize(sample_of(60, 60, []), rng)["img_shape"]) for _ in range(60)}
    assert drawn == {480, 481, 482, 483}


def test_multiscale_value_keeps_pairs_together():
    resize, rng = Resize([40, 60], [50, 200]), np.random.default_rng(0)
    drawn = {resize(sample_of(100, 50, []), rng)["img_shape"] for _ in range(40)}
    assert drawn == {(25, 50), (60, 120)}


def test_resize_rejects_what_it_cannot_pair():
    with pytest.raises(ConfigError, match="cannot pair 2 min_size with 3 max_size"):
        Resize([1, 2], [3, 4, 5])
    with pytest.raises(ConfigError, match="did you mean 'range'"):
        Resize(multiscale_mode="ranges")
    with pytest.raises(ConfigError, match=r"Resize\.min_size is 0.5"):
        Resize(min_size=0.5)


@pytest.mark.parametrize(
    "direction, expected",
    [("horizontal", [30, 5, 50, 20]), ("vertical", [10, 20, 30, 35]), ("diagonal", [30, 20, 50, 35])],
)
def test_flip_moves_image_and_box_alike_and_twice_is_nothing(direction, expected):
    sample = sample_of(60, 40, [[10, 5, 30, 20]])
    original = sample["image"].copy()
    flipped = RandomFlip().flip(sample, direction)
    np.testing.assert_array_equal(flipped["boxes"], [expected])
    np.testing.assert_array_equal(bright_extent(flipped["image"]), expected)
    assert flipped["flip"] == direction
    twice = RandomFlip().flip(flipped, direction)
    np.testing.assert_array_equal(twice["image"], original)
    np.testing.assert_array_equal(twice["boxes"], [[10, 5, 30, 20]])


def test_random_flip_shares_its_probability_among_directions():
    flip, rng = RandomFlip(0.6, ["horizontal", "vertical"]), np.random.default_rng(0)
    drawn = [flip(sample_of(4, 4, []), rng)["flip"] for _ in range(2000)]
    assert abs(drawn.count("horizontal") / 2000 - 0.3) < 0.04
    assert abs(drawn.count("vertical") / 2000 - 0.3) < 0.04
    assert {RandomFlip(1.0)(sample_of(4, 4, []), rng)["flip"] for _ in range(20)} == {"horizontal"}
    assert {RandomFlip(0.0)(sample_of(4, 4, []), rng)["flip"] for _ in range(20)} == {None}


@pytest.mark.parametrize(
    "options, channels", [({}, (2, 1, 0)), ({"to_rgb": False}, (0, 1, 2)), ({"to_bgr": True}, (0, 1, 2))]
)
def test_normalize_orders_channels_before_it_subtracts(options, channels):
    image = np.random.default_rng(0).integers(0, 256, (3, 5, 3), dtype=np.uint8)
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])
    result = Normalize(mean.tolist(), std.tolist(), **options)(new_sample(image), np.random.default_rng(0))[
        "image"
    ]
    assert result.dtype == np.float32
    # float32 arithmetic on values of order 100: 1e-5 absolute
    np.testing.assert_allclose(result, (image[:, :, channels].astype(float) - mean) / std, atol=1e-5)


def test_pad_adds_zeros_right_and_below():
    sample = sample_of(33, 20, [[3, 4, 10, 12]])
    padded = Pad(size_divisor=32)(sample, np.random.default_rng(0))
    assert padded["pad_shape"] == (32, 64) and padded["img_shape"] == (20, 33)
    assert not padded["image"][20:].any() and not padded["image"][:, 33:].any()
    np.testing.assert_array_equal(bright_extent(padded["image"]), [3, 4, 10, 12])
    assert Pad(size_divisor=32)(padded, np.random.default_rng(0))["pad_shape"] == (32, 64)
    assert Pad(size=(50, 70))(padded, np.random.default_rng(0))["pad_shape"] == (50, 70)
    with pytest.raises(DataError, match="cannot hold an image of 50x70 px"):
        Pad(size=40)(padded, np.random.default_rng(0))
    with pytest.raises(ConfigError, match="exactly one"):
        Pad()


def test_a_rectangle_stays_under_its_box_through_the_whole_pipeline():
    pipeline = Compose(
        build(
            [
                {"type": "Resize", "min_size": [70, 130], "max_size": 200, "multiscale_mode": "range"},
                {"type": "RandomFlip", "prob": 0.8, "direction": ["horizontal", "vertical", "diagonal"]},
                {"type": "Pad", "size_divisor": 32},
            ]
        )
    )
    rng, seen = np.random.default_rng(11), set()
    for _ in range(40):
        width, height = rng.integers(30, 120, 2)
        x1, y1 = rng.integers(0, width - 12), rng.integers(0, height - 12)
        x2, y2 = rng.integers(x1 + 8, width + 1), rng.integers(y1 + 8, height + 1)
        sample = pipeline(sample_of(width, height, [[x1, y1, x2, y2]]), rng)
        seen.add(sample["flip"])
        # bilinear interpolation moves the 50 % line by at most half a source pixel
        slack = 0.5 * sample["scale_factor"].max() + 1
        assert np.abs(bright_extent(sample["image"]) - sample["boxes"][0]).max() <= slack
    assert seen == {None, "horizontal", "vertical", "diagonal"}


def test_equal_generators_give_equal_samples():
    pipeline = Compose([Resize([50, 90], 200, multiscale_mode="range"), RandomFlip(0.5)])
    first, second = (
        pipeline(sample_of(40, 30, [[1, 2, 20, 20]]), np.random.default_rng([7, 1, 3])) for _ in range(2)
    )
    np.testing.assert_array_equal(first["image"], second["image"])
    np.testing.assert_array_equal(first["boxes"], second["boxes"])


def test_compose_names_what_is_not_a_transform():
    with pytest.raises(ConfigError, match=r"transforms\.1 is 'Resize'"):
        Compose([Pad(size_divisor=2), "Resize"])
