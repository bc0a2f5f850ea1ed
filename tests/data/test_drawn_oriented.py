"""Drawn aerial scenes: reproducible, boxes that fit what is drawn, readable as DOTA."""

from __future__ import annotations

import hashlib
import math
import pickle

import cv2
import numpy as np
import pytest

from jld.boxes.rotated import pairwise_rbox_iou, regularize_rboxes
from jld.data import DOTADataset, DrawnOrientedDataset
from jld.data.aerial_shapes import KINDS, LENGTHS, OUTLINES, WIDTHS, AerialObject
from jld.data.drawn_oriented import MAX_COVERED
from jld.data.shapes import rational_rotation
from jld.errors import ConfigError
from tests.tiny_data import write_dota


def digest(array):
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:16]


def test_pictures_and_boxes_are_the_same_on_every_machine():
    dataset = DrawnOrientedDataset(num_images=12, seed=3)
    assert digest(np.stack([dataset.read_image(index) for index in range(12)])) == "472feab3d83ce017"
    assert digest(np.round(dataset.table.polys * 256).astype(np.int64)) == "15e90a641eb40062"


def test_an_image_depends_on_seed_split_and_index_alone():
    first, longer = DrawnOrientedDataset(num_images=2), DrawnOrientedDataset(num_images=4, cache=True)
    for index in range(2):
        np.testing.assert_array_equal(first.read_image(index), longer.read_image(index))
        np.testing.assert_array_equal(longer.read_image(index), longer.read_image(index))
    assert len(longer._drawn) == 2 and pickle.loads(pickle.dumps(longer))._drawn == {}
    others = [DrawnOrientedDataset(**options, num_images=1) for options in ({"seed": 1}, {"split": "val"})]
    assert len({each.read_image(0).tobytes() for each in (first, *others)}) == 3


@pytest.fixture(scope="module")
def many():
    return DrawnOrientedDataset(num_images=250, image_size=(96, 160))


def test_numbers_kinds_and_angles(many):
    counts = np.diff(many.table.offsets)
    assert counts.max() == 8 and 0.02 < (counts == 0).mean() < 0.12 and 3 < counts.mean() < 6
    shares = np.bincount(many.table.labels, minlength=4) / len(many.table.labels)
    assert many.classes == KINDS and (shares > 0.03).all()
    assert many.table.is_usable.all() and not many.table.flags.any()
    headings = [math.atan2(*each.heading[::-1]) for _, objects in many.scenes for each in objects]
    assert (np.histogram(headings, 8, (-math.pi, math.pi))[0] > len(headings) / 20).all()
    length, width = many.table.boxes[:, 2] * 128 / 96, many.table.boxes[:, 3] * 128 / 96
    for label, kind in enumerate(KINDS):
        mine, ratio = many.table.labels == label, width / length
        assert (length[mine] >= LENGTHS[kind][0] - 1e-9).all() and (
            length[mine] <= LENGTHS[kind][1] + 1e-9
        ).all()
        assert (ratio[mine] >= WIDTHS[kind][0] - 1e-9).all() and (ratio[mine] <= WIDTHS[kind][1] + 1e-9).all()


def test_objects_stay_inside_and_hide_little_of_each_other(many):
    extents = np.array([each.box() for _, objects in many.scenes for each in objects])
    assert (extents[:, :2] >= 0).all() and (extents[:, 2:] <= [160, 96]).all()
    for truth in many.ground_truth():
        covered = pairwise_rbox_iou(truth["rboxes"], truth["rboxes"], "iof")
        np.fill_diagonal(covered, 0)
        assert covered.size == 0 or covered.max() < MAX_COVERED


def test_groups_share_their_heading(many):
    pairs = [
        len({each.heading for each in objects}) < len(objects)
        for _, objects in many.scenes
        if len(objects) > 1
    ]
    assert np.mean(pairs) > 0.4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("turn", [0, 300, -777])
def test_a_box_is_the_extent_of_its_object(kind, turn):
    assert np.abs(np.array(OUTLINES[kind])).max(0).tolist() == [1, 1]
    placed = AerialObject(kind, (50.3, 40.8), (30.0, 9.0), rational_rotation(turn, 1000))
    scale = 8
    xs, ys = (np.arange(100 * scale) + 0.5) / scale, (np.arange(80 * scale) + 0.5) / scale
    points = np.argwhere(placed.coverage(xs, ys) > 0.5)[:, ::-1]
    cosine, sine = placed.heading
    offsets = np.stack([xs[points[:, 0]], ys[points[:, 1]]], 1) - placed.center
    along, across = offsets @ [cosine, sine], offsets @ [-sine, cosine]
    # the tip of a bow vanishes between two samples
    np.testing.assert_allclose([along.min(), along.max()], [-30, 30], atol=1.0)
    np.testing.assert_allclose([across.min(), across.max()], [-9, 9], atol=0.2)
    x, y, length, width, angle = placed.rbox()
    assert (x, y, length, width) == pytest.approx((49.8, 40.3, 60, 18))
    assert (math.cos(angle), math.sin(angle)) == pytest.approx(placed.heading)


def test_annotations_count_pixel_centres():
    placed = AerialObject("pier", (60.0, 50.0), (30.0, 8.0), (1.0, 0.0))
    covered = placed.coverage(np.arange(128) + 0.5, np.arange(128) + 0.5)
    rows, columns = np.nonzero(covered > 0.5)
    assert placed.rbox()[0] == (columns.min() + columns.max()) / 2 == 59.5
    assert placed.rbox()[1] == (rows.min() + rows.max()) / 2 == 49.5


@pytest.mark.parametrize("version", ["oc", "le90", "le135"])
def test_samples_hold_boxes_of_the_version(version):
    dataset = DrawnOrientedDataset(num_images=6, angle_version=version)
    for index in range(6):
        sample = dataset.get(index, np.random.default_rng(0))
        np.testing.assert_allclose(regularize_rboxes(sample["boxes"], version), sample["boxes"], atol=1e-5)
        assert sample["angle_version"] == version and len(sample["boxes"]) == len(sample["labels"])


def test_written_as_dota_it_reads_back_the_same(tmp_path):
    drawn = DrawnOrientedDataset("val", num_images=5, image_size=(128, 160), seed=2)
    read = DOTADataset(str(write_dota(tmp_path, drawn)), classes=list(KINDS), filter_empty_gt=False)
    assert read.image_ids == [f"val_{index:06d}" for index in range(5)] and not read.problems
    for index, (truth, made) in enumerate(zip(read.ground_truth(), drawn.ground_truth(), strict=True)):
        np.testing.assert_allclose(truth["polys"], made["polys"], atol=1e-9)
        np.testing.assert_array_equal(truth["labels"], made["labels"])
        np.testing.assert_allclose(truth["rboxes"], made["rboxes"], atol=1e-6)
        np.testing.assert_array_equal(read.read_image(index), drawn.read_image(index))
    assert cv2.imread(str(tmp_path / "images" / "val_000000.png")).shape == (128, 160, 3)


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(
        ConfigError, match="DrawnOrientedDataset knows no split 'trian': did you mean 'train'"
    ):
        DrawnOrientedDataset("trian")
    least = {"image_size": 16, "num_images": 0, "max_objects": 0, "blur_scale": -1, "box_noise": -1}
    for options in ({key: value} for key, value in least.items()):
        with pytest.raises(ConfigError, match="sides of at least 32 px"):
            DrawnOrientedDataset(**options)
    with pytest.raises(ConfigError, match="length_scale is 2"):
        DrawnOrientedDataset(num_images=1, length_scale=2)
    with pytest.raises(ConfigError, match="unknown angle version"):
        DrawnOrientedDataset(num_images=1, angle_version="le45")


def test_an_annotator_errs_in_the_frame_of_the_object():
    exact, noisy, again = (DrawnOrientedDataset(num_images=200, box_noise=share) for share in (0.0, 0.1, 0.1))
    np.testing.assert_array_equal(noisy.table.boxes, again.table.boxes)
    np.testing.assert_array_equal(noisy.read_image(3), exact.read_image(3))
    true, drawn = (
        np.array([each.rbox() for row in range(200) for each in objects(dataset, row)])
        for dataset, objects in (
            (exact, lambda dataset, row: dataset.scenes[row][1]),
            (noisy, lambda dataset, row: dataset._misjudged(row, dataset.scenes[row][1])),
        )
    )
    # Two edges of an axis err on their own: their distance by the root of two, their middle by half of it.
    sides = drawn[:, 2:4] / true[:, 2:4] - 1
    np.testing.assert_allclose(sides.std(axis=0), 0.1 * math.sqrt(2), rtol=0.1)
    cosine, sine = np.cos(true[:, 4]), np.sin(true[:, 4])
    x, y = (drawn - true)[:, :2].T
    middle = np.stack([cosine * x + sine * y, cosine * y - sine * x], axis=1) / true[:, 2:4]
    np.testing.assert_allclose(middle.std(axis=0), 0.1 / math.sqrt(2), rtol=0.1)
    turn = (drawn[:, 4] - true[:, 4] + math.pi) % (2 * math.pi) - math.pi
    np.testing.assert_allclose((turn * true[:, 2] / true[:, 3]).std(), 0.1, rtol=0.1)
    np.testing.assert_allclose(noisy.table.polys.reshape(-1, 4, 2).mean(axis=1), drawn[:, :2], atol=1e-6)


def test_larger_objects():
    usual, larger = (DrawnOrientedDataset(num_images=60, length_scale=scale) for scale in (1.0, 1.3))
    longest = [dataset.table.boxes[:, 2].max() for dataset in (usual, larger)]
    assert longest[0] < 96.1 < longest[1] < 125
    assert (np.concatenate([each.box() for _, objects in larger.scenes for each in objects]) >= 0).all()
