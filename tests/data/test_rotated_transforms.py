"""Transforms of rotated boxes: image and boxes move alike, published rules, angle versions."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from jld.boxes.rotated import (
    ANGLE_VERSIONS,
    matched_rbox_iou,
    pairwise_rbox_iou,
    rboxes_to_polys,
    regularize_rboxes,
)
from jld.data import Compose, DrawnDataset, Pad
from jld.data.rotated_transforms import (
    PolyRandomRotate,
    RandomRotateAug,
    RotatedRandomCrop,
    RotatedRandomFlip,
    RotatedResize,
)
from jld.data.transforms import new_sample
from jld.errors import ConfigError

BOXES = np.array([[60.0, 50.0, 50.0, 18.0, 0.4], [100.0, 30.0, 30.0, 14.0, 2.0]])
SCALE = 16  # sub-pixel bits of OpenCV's polygon filling


def painted(boxes, version, height=90, width=140, labels=None, ignored=()):
    """A black image in which each box is filled in a channel of its own."""
    boxes = regularize_rboxes(np.asarray(boxes, np.float64).reshape(-1, 5), version)
    layers = np.zeros((3, height, width), np.uint8)
    for layer, corners in zip(layers, rboxes_to_polys(boxes).reshape(-1, 4, 2)):
        cv2.fillPoly(layer, [np.round(corners * SCALE).astype(np.int32)], 200, shift=4)
    return new_sample(
        np.ascontiguousarray(layers.transpose(1, 2, 0)),
        boxes=boxes.astype(np.float32),
        labels=np.arange(len(boxes)) if labels is None else np.asarray(labels),
        boxes_ignore=regularize_rboxes(np.asarray(ignored, np.float32).reshape(-1, 5), version),
        angle_version=version,
    )


def shown_boxes(image, count):
    """The least rectangles around the painted boxes."""
    found = []
    for number in range(count):
        points = np.argwhere(image[:, :, number] > 100)[:, ::-1].astype(np.float32)
        (x, y), (w, h), degrees = cv2.minAreaRect(points)
        found.append([x, y, w, h, math.radians(degrees)])
    return np.array(found)


def in_range(boxes, version):
    np.testing.assert_allclose(regularize_rboxes(boxes, version), boxes, atol=1e-5)


@pytest.mark.parametrize("version", ANGLE_VERSIONS)
@pytest.mark.parametrize(
    "transform",
    [
        lambda sample: RotatedRandomFlip().flip(sample, "horizontal"),
        lambda sample: RotatedRandomFlip().flip(sample, "vertical"),
        lambda sample: RotatedRandomFlip().flip(sample, "diagonal"),
        lambda sample: RandomRotateAug(True).turn(sample, 1),
        lambda sample: RandomRotateAug(True).turn(sample, 2),
        lambda sample: RandomRotateAug(True).turn(sample, 3),
        lambda sample: PolyRandomRotate().rotate(sample, 25.0),
        lambda sample: PolyRandomRotate().rotate(sample, -70.0),
        lambda sample: RotatedResize(180, 280)(sample, np.random.default_rng(0)),
    ],
)
def test_boxes_move_with_the_image(version, transform):
    sample = transform(painted(BOXES, version, ignored=BOXES[:1]))
    in_range(sample["boxes"], version)
    shown = shown_boxes(sample["image"], 2)
    # the pixels of a painted box reach about half a pixel less or more on each side
    np.testing.assert_allclose(sample["boxes"][:, :2], shown[:, :2], atol=0.8)
    assert (matched_rbox_iou(sample["boxes"], shown) > 0.8).all()
    np.testing.assert_array_equal(sample["boxes_ignore"], sample["boxes"][:1])
    assert sample["boxes"].dtype == sample["boxes_ignore"].dtype == np.float32
    assert sample["img_shape"] == sample["image"].shape[:2]


@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_twice_flipped_or_four_times_turned_is_nothing(version):
    before = painted(BOXES, version)
    for direction in ("horizontal", "vertical", "diagonal"):
        sample = painted(BOXES, version)
        for _ in range(2):
            sample = RotatedRandomFlip().flip(sample, direction)
        np.testing.assert_allclose(sample["boxes"], before["boxes"], atol=1e-5)
        np.testing.assert_array_equal(sample["image"], before["image"])
        assert sample["flip"] is None
    sample = painted(BOXES, version)
    for _ in range(4):
        sample = RandomRotateAug(True).turn(sample, 1)
    np.testing.assert_allclose(sample["boxes"], before["boxes"], atol=1e-4)
    np.testing.assert_array_equal(sample["image"], before["image"])


def test_one_draw_or_independent_draws():
    published = RotatedRandomFlip([0.25, 0.25, 0.25], ["horizontal", "vertical", "diagonal"])
    pair = Compose([RotatedRandomFlip(0.5, "horizontal"), RotatedRandomFlip(0.5, "vertical")])
    for transform in (published, pair):
        rng = np.random.default_rng(1)
        drawn = [transform(painted([], "oc", 4, 6), rng)["flip"] for _ in range(2000)]
        for direction in ("horizontal", "vertical", "diagonal", None):
            assert abs(drawn.count(direction) / 2000 - 0.25) < 0.04
    only = RotatedRandomFlip([0.0, 1.0], ["horizontal", "vertical"])
    assert {only(painted([], "oc", 4, 6), np.random.default_rng(0))["flip"] for _ in range(9)} == {"vertical"}
    with pytest.raises(ConfigError, match="2 numbers for 1 directions"):
        RotatedRandomFlip([0.5, 0.5], "horizontal")
    with pytest.raises(ConfigError, match="between 0 and 1"):
        RotatedRandomFlip([0.5, 0.6], ["horizontal", "vertical"])


@pytest.mark.parametrize(
    ("options", "size", "expected"),
    [
        ({}, (600, 600), (1024, 1024)),
        ({"max_zoom": 1.5}, (600, 600), (900, 900)),
        ({"max_zoom": 1.5}, (1024, 1024), (1024, 1024)),
        ({"max_zoom": 1.5}, (400, 700), (585, 1023)),  # 600 would make the long side 1050
        ({"max_zoom": 1.5}, (700, 400), (1023, 585)),
        ({"max_zoom": 1.5}, (2000, 2000), (1024, 1024)),
        ({"keep_ratio": False}, (600, 500), (1024, 1024)),
    ],
)
def test_sizes(options, size, expected):
    # the numbers of JDet's rule, with max_zoom, are computed by hand
    transform = RotatedResize(1024, 1024, **options)
    sample = transform(painted([], "le135", *size), np.random.default_rng(0))
    assert sample["img_shape"] == expected == sample["image"].shape[:2]
    np.testing.assert_allclose(sample["scale_factor"][:2], np.divide(expected, size)[::-1], rtol=1e-6)


def test_resize_takes_the_mean_scale_for_edges():
    sample = painted([[40, 30, 20, 10, 0.7]], "le90", 100, 100)
    transform = RotatedResize(50, 200, keep_ratio=False)  # height 50, width 200
    boxes = transform(sample, np.random.default_rng(0))["boxes"]
    np.testing.assert_allclose(boxes, [[80, 15, 20, 10, 0.7]], rtol=1e-6)


def test_boxes_beyond_the_border_are_kept_or_clipped():
    box = [[4.0, 50.0, 40.0, 10.0, 0.0]]
    rng = np.random.default_rng(0)
    kept = RotatedResize(100, 100)(painted(box, "le135", 100, 100), rng)["boxes"]
    np.testing.assert_allclose(kept, box, atol=1e-5)
    clipped = RotatedResize(100, 100, clip_boxes=True)(painted(box, "le135", 100, 100), rng)["boxes"]
    # corners from x = 0 to 24, as JDet leaves them
    np.testing.assert_allclose(clipped, [[12, 50, 24, 10, 0]], atol=1e-4)


def test_rotation_drops_what_leaves_the_image_but_never_everything():
    far = [[5.0, 45.0, 16.0, 8.0, 0.0], [70.0, 45.0, 40.0, 12.0, 0.0]]
    sample = PolyRandomRotate().rotate(painted(far, "le90", 90, 140, ignored=far), 90.0)
    assert sample["labels"].tolist() == [1] and len(sample["boxes"]) == 1 == len(sample["boxes_ignore"])
    alone = painted(far[:1], "le90", 90, 140)
    before = alone["boxes"].copy()
    np.testing.assert_array_equal(PolyRandomRotate().rotate(alone, 90.0)["boxes"], before)
    thin = painted([[70, 45, 30, 4, 0.0], far[1]], "le90", 90, 140)
    assert PolyRandomRotate().rotate(thin, 10.0)["labels"].tolist() == [1]
    assert len(PolyRandomRotate().rotate(painted([], "le90"), 10.0)["boxes"]) == 0


def test_objects_without_orientation_ask_for_right_angles():
    square = [[45.0, 45.0, 30.0, 12.0, 0.0]]
    transform = PolyRandomRotate(1.0, 180, rect_classes=[9])
    angles = {"free": set(), "right": set()}
    for seed in range(30):
        for name, label in (("free", 3), ("right", 9)):
            sample = painted(square, "le90", 91, 91, labels=[label])
            angle = transform(sample, np.random.default_rng(seed))["boxes"][0, 4]
            angles[name].add(round(float(angle), 3))
    assert len(angles["free"]) == 30
    assert angles["right"] == {0.0, -1.571}


def test_rotation_is_drawn_as_asked():
    square = [[45.0, 45.0, 30.0, 12.0, 0.0]]
    never, fixed = PolyRandomRotate(0.0), PolyRandomRotate(1.0, [30], mode="value")
    for seed in range(5):
        sample = never(painted(square, "le90", 91, 91), np.random.default_rng(seed))
        np.testing.assert_allclose(sample["boxes"], square, atol=1e-5)
        turned = fixed(painted(square, "le90", 91, 91), np.random.default_rng(seed))
        np.testing.assert_allclose(turned["boxes"][0, 4], math.radians(30), atol=1e-5)
    for wrong in ({"mode": "ranges"}, {"mode": "value"}, {"angles_range": [1, 2]}, {"rotate_ratio": 2}):
        with pytest.raises(ConfigError, match="PolyRandomRotate"):
            PolyRandomRotate(**wrong)


def test_quarter_turns_are_off_unless_asked_for_and_equally_likely():
    assert RandomRotateAug()(painted(BOXES, "oc"), np.random.default_rng(0))["img_shape"] == (90, 140)
    rng, first = np.random.default_rng(0), painted(BOXES, "oc")["image"]
    counts = np.zeros(4)
    for _ in range(400):
        image = RandomRotateAug(True)(painted(BOXES, "oc"), rng)["image"]
        counts += [np.array_equal(image, np.rot90(first, quarters)) for quarters in range(4)]
    assert counts.sum() == 400 and (np.abs(counts / 400 - 0.25) < 0.08).all()


def test_overlap_between_boxes_survives_every_motion():
    close = [[60.0, 45.0, 40.0, 12.0, 0.3], [64.0, 48.0, 36.0, 14.0, 0.6]]
    before = pairwise_rbox_iou(*np.split(np.array(close), 2))
    chain = Compose(
        [
            RotatedRandomFlip(1.0, "vertical"),
            RandomRotateAug(True),
            RotatedResize(45, 70),
            PolyRandomRotate(1.0),
        ]
    )
    for seed in range(6):
        boxes = chain(painted(close, "le135"), np.random.default_rng(seed))["boxes"]
        np.testing.assert_allclose(pairwise_rbox_iou(*np.split(boxes, 2)), before, atol=1e-4)


def test_samples_without_boxes_pass_through():
    sample = new_sample(np.zeros((20, 30, 3), np.uint8))  # as inference makes them, width 4
    for transform in (
        RotatedResize(40, 60),
        RotatedRandomFlip(1.0),
        RandomRotateAug(True),
        PolyRandomRotate(1.0),
    ):
        sample = transform(sample, np.random.default_rng(3))
    assert len(sample["boxes"]) == 0


@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_crops_move_boxes_and_ignore_what_is_cut(version):
    ignored = [[20, 20, 10, 10, 0.1], [130, 80, 10, 10, 0.1]]
    sample = RotatedRandomCrop([40, 70]).crop(painted(BOXES, version, ignored=ignored), 30, 40)
    # Of the first box 94 % lies in the window (x 40 to 110, y 30 to 70), of the second about half.
    assert sample["image"].shape == (40, 70, 3) and sample["img_shape"] == (40, 70)
    assert sample["labels"].tolist() == [0]
    in_range(sample["boxes"], version)
    np.testing.assert_allclose(sample["boxes"][:, :2], [[20, 20]], atol=1e-5)
    np.testing.assert_allclose(sample["boxes_ignore"][:, :2], [[60, 0]], atol=1e-5)
    whole = RotatedRandomCrop([400, 700], min_iof=0.9)(painted(BOXES, version), np.random.default_rng(0))
    assert whole["image"].shape == (90, 140, 3) and len(whole["boxes"]) == 2
    strict = RotatedRandomCrop([40, 70], min_iof=0.95).crop(painted(BOXES, version), 30, 40)
    assert len(strict["boxes"]) == 0 and len(strict["boxes_ignore"]) == 2


def test_crops_lie_evenly_around_an_object():
    box, rng = [[100.0, 30.0, 8.0, 6.0, 0.3]], np.random.default_rng(0)
    transform = RotatedRandomCrop([20, 30], min_iof=0.0)
    crops = [transform(painted(box, "oc"), rng)["boxes"][0, :2] for _ in range(2000)]
    x, y = np.transpose(crops)
    assert x.min() >= 0 and x.max() <= 29 and y.min() >= 0 and y.max() <= 19
    assert len(set(np.round(x))) == 30 and abs(np.mean(x) - 14.5) < 0.7 and abs(np.mean(y) - 9.5) < 0.5
    empty = RotatedRandomCrop([20, 30])(painted([], "oc"), rng)
    assert empty["image"].shape == (20, 30, 3) and empty["boxes"].size == 0
    for wrong in ({"crop_size": [0, 5]}, {"crop_size": [5]}, {"crop_size": [5, 5], "min_iof": 1.5}):
        with pytest.raises(ConfigError, match="RotatedRandomCrop"):
            RotatedRandomCrop(**wrong)


def test_shares_of_all_and_of_nothing():
    inside, outside = [20.0, 20.0, 13.0, 7.0, 0.3], [100.0, 80.0, 13.0, 7.0, 0.3]
    rng = np.random.default_rng(0)
    for _ in range(50):
        inside[4] = rng.uniform(0.1, 1.5)
        for min_iof in (0.0, 1.0):
            sample = RotatedRandomCrop([41, 41], min_iof).crop(painted([inside, outside], "oc"), 0, 0)
            assert sample["labels"].tolist() == [0] and len(sample["boxes_ignore"]) == 0


def test_transforms_of_rotated_boxes_are_refused_for_upright_ones():
    for transform in (
        RotatedRandomCrop([8, 8]),
        RotatedResize(8, 8),
        RotatedRandomFlip(),
        PolyRandomRotate(),
    ):
        with pytest.raises(ConfigError, match=r"transforms\.1 is \w+, which moves rotated boxes only"):
            DrawnDataset(num_images=2, image_size=32, transforms=[Pad(8), transform])


def test_a_window_at_a_border_stays_in_the_image():
    rng = np.random.default_rng(0)
    for x, y in ((0.0, 0.0), (-3.0, 89.6), (139.4, 92.0)):
        sample = RotatedRandomCrop([20, 30])(painted([[x, y, 30.0, 20.0, 0.3]], "le90"), rng)
        assert sample["image"].shape == (20, 30, 3)
        assert len(sample["boxes"]) + len(sample["boxes_ignore"]) == 1
