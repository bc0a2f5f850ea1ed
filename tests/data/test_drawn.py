from __future__ import annotations

import hashlib
import pickle

import numpy as np
import pytest

from jld.data import COCODataset, DrawnDataset
from jld.data.painting import paint
from jld.data.shapes import KINDS, Figure, binomial_kernel, blur, rational_rotation
from jld.errors import ConfigError

RNG = np.random.default_rng(0)


def test_pictures_and_boxes_are_the_same_on_every_machine():
    dataset = DrawnDataset(num_images=12, seed=3)
    pixels = np.stack([dataset.read_image(index) for index in range(12)])
    assert hashlib.sha256(pixels.tobytes()).hexdigest()[:16] == "a954b45948baa6dd"
    boxes = np.round(dataset.table.boxes * 256).astype(np.int64)
    assert hashlib.sha256(boxes.tobytes()).hexdigest()[:16] == "87d3d53812c39194"


def test_an_image_depends_on_seed_split_and_index_alone():
    first, longer = DrawnDataset(num_images=3), DrawnDataset(num_images=5, cache=True)
    for index in range(3):
        np.testing.assert_array_equal(first.read_image(index), longer.read_image(index))
        np.testing.assert_array_equal(longer.read_image(index), longer.read_image(index))
    pictures = [first.read_image(0), first.read_image(1)]
    pictures += [
        DrawnDataset(**options, num_images=1).read_image(0) for options in ({"seed": 1}, {"split": "val"})
    ]
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_kept_images_stay_whole_and_are_not_sent_to_workers():
    dataset = DrawnDataset(num_images=2, cache=True)
    image = dataset.read_image(0)
    image[:] = 0
    assert dataset.read_image(0).any() and len(dataset._drawn) == 1
    assert pickle.loads(pickle.dumps(dataset))._drawn == {}


def test_numbers_and_sizes_of_objects():
    dataset = DrawnDataset(num_images=400, image_size=(96, 160))
    truths = dataset.ground_truth()
    counts = np.array([len(truth["boxes"]) for truth in truths])
    assert counts.max() == 6 and 0.02 < (counts == 0).mean() < 0.12 and 2.5 < counts.mean() < 4
    boxes, labels = dataset.table.boxes, dataset.table.labels
    assert (boxes >= 0).all() and (boxes[:, [0, 2]] <= 160).all() and (boxes[:, [1, 3]] <= 96).all()
    sides = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) * 128 / 96
    assert sides.min() > 8 and 55 < sides.max() < 75 and 18 < np.median(sides) < 32
    assert (np.bincount(labels) / len(labels) > 0.15).all() and dataset.classes == KINDS
    sample = dataset.get(0, RNG)
    assert sample["image"].shape == (3, 96, 160)
    np.testing.assert_array_equal(sample["boxes"], truths[0]["boxes"].astype(np.float32))


def test_kinds_and_lengths_are_those_asked_for():
    dataset = DrawnDataset(num_images=60, kinds=["cross", "disc"], lengths=[40, 60], image_size=64)
    assert dataset.classes == ("cross", "disc") and set(dataset.table.labels.tolist()) == {0, 1}
    sides = (dataset.table.boxes[:, 2:] - dataset.table.boxes[:, :2]).max(axis=1) * 2
    assert 26 < sides.min() and sides.max() < 61


def test_an_annotator_errs_at_every_edge_once_and_for_good():
    exact, noisy, again = (DrawnDataset(num_images=300, box_noise=share) for share in (0.0, 0.1, 0.1))
    np.testing.assert_array_equal(noisy.table.boxes, again.table.boxes)
    np.testing.assert_array_equal(noisy.read_image(3), exact.read_image(3))
    inside = (exact.table.boxes > 20).all(axis=1) & (exact.table.boxes < 108).all(axis=1)
    boxes = exact.table.boxes[inside]
    errors = (noisy.table.boxes[inside] - boxes) / np.tile(boxes[:, 2:] - boxes[:, :2], 2)
    np.testing.assert_allclose(errors.std(axis=0), 0.1, rtol=0.1)
    np.testing.assert_allclose(errors.mean(axis=0), 0, atol=0.015)
    assert (noisy.table.boxes[:, 2:] > noisy.table.boxes[:, :2]).all()
    assert noisy.table.boxes.min() >= 0 and noisy.table.boxes.max() <= 128


@pytest.mark.parametrize(
    "options", [{"kinds": ["disk"]}, {"kinds": []}, {"lengths": [9]}, {"box_noise": -1.0}]
)
def test_drawings_that_cannot_be_made(options):
    with pytest.raises(ConfigError, match="DrawnDataset"):
        DrawnDataset(num_images=1, **options)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("turn", [0, 300, -777])
def test_a_box_is_the_extent_of_its_figure(kind, turn):
    figure = Figure(kind, (50.3, 40.8), (23.0, 16.0), rational_rotation(turn, 1000))
    scale = 8  # sampled finely enough to see eighths of a pixel
    xs, ys = (np.arange(100 * scale) + 0.5) / scale, (np.arange(80 * scale) + 0.5) / scale
    rows, columns = np.nonzero(figure.coverage(xs, ys) > 0.5)
    extent = [
        columns.min() / scale,
        rows.min() / scale,
        (columns.max() + 1) / scale,
        (rows.max() + 1) / scale,
    ]
    # sharp corners of a triangle vanish between two samples
    np.testing.assert_allclose(extent, figure.box(), atol=0.4)


@pytest.mark.parametrize(
    "kind, area",
    [("disc", np.pi), ("square", 2), ("triangle", 27**0.5 / 4), ("cross", 4 * 0.34 * 2 - 4 * 0.34**2)],
)
def test_coverage_adds_up_to_the_area(kind, area):
    figure = Figure(kind, (50.0, 50.0), (30.0, 24.0), rational_rotation(200, 1000))
    pixels = np.arange(100) + 0.5
    # the edge is one pixel wide by the shorter axis, so areas are right to about a percent
    assert figure.coverage(pixels, pixels).sum() == pytest.approx(area * 30 * 24, rel=0.015)


def test_rational_rotation_is_a_rotation():
    cosine, sine = rational_rotation(1, 2)
    assert (cosine, sine) == pytest.approx((0.6, 0.8))
    assert rational_rotation(0, 1) == (1, 0) and rational_rotation(1, 1) == (0, 1)


@pytest.mark.parametrize("order", [1, 4, 18, 40])
def test_blur_is_a_gaussian_of_the_given_variance(order):
    kernel = binomial_kernel(order) / binomial_kernel(order).sum()
    positions = np.arange(len(kernel)) - len(kernel) // 2
    # tails below half a unit in 4096 are cut off
    assert (kernel * positions**2).sum() == pytest.approx(order / 2, rel=0.03)
    mask = np.zeros((61, 61))
    mask[30, 30] = 1
    np.testing.assert_allclose(
        blur(mask, order)[30, :], kernel.max() * np.pad(kernel, (61 - len(kernel)) // 2), atol=1e-12
    )
    assert blur(mask, order).sum() == pytest.approx(1)


@pytest.mark.parametrize("softness, beyond", [(0.0, (0, 1)), (3.0, (2, 17))])
def test_edges_spread_beyond_the_box_only_when_soft(softness, beyond):
    figure = Figure("disc", (50.0, 50.0), (25.0, 25.0), (1.0, 0.0))
    for seed in range(4):
        canvas = np.full((100, 100, 3), 100.0)
        paint(canvas, figure, np.random.default_rng(seed), softness)
        rows = np.flatnonzero((np.abs(canvas - 100) > 0.1).any(axis=(1, 2)))
        assert beyond[0] <= 25 - rows.min() <= beyond[1] and beyond[0] <= rows.max() + 1 - 75 <= beyond[1]


def test_written_as_coco_it_reads_back_the_same(tmp_path):
    dataset = DrawnDataset("val", num_images=6, image_size=64, seed=2)
    path = dataset.to_coco(tmp_path)
    read = COCODataset(str(tmp_path / "val"), str(path), filter_empty_gt=False)
    assert read.classes == dataset.classes and read.image_ids == dataset.image_ids and not read.problems
    for index, (truth, drawn) in enumerate(zip(read.ground_truth(), dataset.ground_truth(), strict=True)):
        np.testing.assert_allclose(truth["boxes"], drawn["boxes"], atol=1e-9)
        np.testing.assert_array_equal(truth["labels"], drawn["labels"])
        np.testing.assert_array_equal(read.read_image(index), dataset.read_image(index))


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(ConfigError, match="did you mean 'train'"):
        DrawnDataset("trian")
    for options in ({"image_size": 16}, {"num_images": 0}, {"max_objects": 0}, {"blur_scale": -1}):
        with pytest.raises(ConfigError, match="sides of at least 32 px"):
            DrawnDataset(**options)
