"""Masks of COCO files: what is read, what is ignored with a word, and what is refused."""

import json

import numpy as np
import pytest

from jld.boxes.masks import from_bitmap, read_counts, to_bitmap
from jld.data import COCODataset, DrawnDataset
from jld.errors import DataError
from tests.tiny_data import write_coco

RNG = np.random.default_rng(0)
BOX = [5, 5, 20, 25]
SQUARE = [5, 5, 25, 5, 25, 30, 5, 30]
IMAGE = ((60, 40), [])
HOLE = np.zeros((40, 60), np.uint8)
HOLE[5:30, 5:25] = 1
HOLE[10:20, 10:20] = 0


def annotation(segmentation, box=BOX, **more):
    shape = {} if segmentation is None else {"segmentation": segmentation}
    return {"image_id": 100, "category_id": 3, "bbox": box, "area": box[2] * box[3], **shape, **more}


def dataset(folder, *annotations, **options):
    numbered = [{"id": index + 1, **each} for index, each in enumerate(annotations)]
    images_dir, path = write_coco(folder, [IMAGE], annotations=numbered)
    return COCODataset(str(images_dir), str(path), **{"with_masks": True, **options})


def refusal(folder, *annotations):
    with pytest.raises(DataError) as caught:
        dataset(folder, *annotations)
    return str(caught.value)


def test_polygons_counts_and_text_are_read(tmp_path):
    text = from_bitmap(HOLE)["counts"]
    read = dataset(
        tmp_path,
        annotation([SQUARE]),
        annotation([[5, 5, 12, 5, 12, 30], [15, 5, 25, 5, 25, 30]]),
        annotation({"size": [40, 60], "counts": read_counts(text).tolist()}),
        annotation({"size": [40, 60], "counts": text}, iscrowd=1),
    )
    assert read.has_masks and read.problems == []
    sample, truth = read.get(0, RNG), read.ground_truth()[0]
    bitmaps = sample["masks"].bitmaps().pixels
    assert bitmaps.shape == (3, 40, 60) and len(sample["boxes"]) == 3 and len(sample["boxes_ignore"]) == 1
    assert bitmaps[0].sum() == 500 and bitmaps[0, 5:30, 5:25].all()
    np.testing.assert_array_equal(bitmaps[2], HOLE)
    assert [to_bitmap(mask).sum() for mask in truth["masks"]] == [500, bitmaps[1].sum(), 400, 400]
    assert read.first(1).get(0, RNG)["masks"].size == (40, 60)
    account = read.account()
    assert account.trained == 3 and account.ignored.counts == {"crowds": 1}


def test_masks_nobody_asked_for_are_not_read(tmp_path):
    read = dataset(tmp_path, annotation("nonsense"), with_masks=False)
    assert not read.has_masks and read.get(0, RNG)["masks"] is None and "masks" not in read.ground_truth()[0]
    assert read.default_evaluator == "CocoEvaluator"


def test_objects_without_a_mask_that_can_be_used_are_ignored(tmp_path):
    nothing = {"size": [40, 60], "counts": [2400]}
    read = dataset(
        tmp_path,
        annotation([SQUARE]),
        annotation(None),
        annotation([]),
        annotation([[5, 5, 25, 30]]),
        annotation(nothing),
        annotation([[5, 5, 25, 30, 15, 17.5]]),
        annotation([[30, 5, 55, 5, 55, 30]]),
        annotation(nothing, iscrowd=1),
    )
    assert read.table.masks.faults.tolist() == [0, 1, 1, 1, 2, 2, 3, 2]
    account = read.account()
    assert account.trained == 1 and account.ignored.counts == {
        "crowds": 1,
        "without a mask": 3,
        "with an empty mask": 2,
        "whose box and mask disagree": 1,
    }
    sample = read.get(0, RNG)
    assert len(sample["boxes"]) == len(sample["masks"]) == 1 and len(sample["boxes_ignore"]) == 7
    said = "\n".join(map(str, read.problems))
    assert (
        "holds 1 polygons of fewer than three vertices, which are passed over (first: annotation 4)" in said
    )
    assert "holds 3 objects without a mask, which are ignored (first: annotation 2)" in said
    assert "holds 2 objects with an empty mask, which are ignored (first: annotation 5)" in said
    assert "holds 1 objects whose box and mask disagree, which are ignored (first: annotation 7)" in said
    assert {problem.severity for problem in read.problems} == {"warning"}


def test_polygons_that_cross_themselves_are_filled_by_even_and_odd(tmp_path):
    bow = [5, 5, 25, 30, 25, 5, 5, 30]  # of no area, if the turns of its halves are added up
    read = dataset(tmp_path, annotation([SQUARE]), annotation([bow]))
    assert read.table.masks.faults.tolist() == [0, 0]
    areas = [int(each.sum()) for each in read.get(0, RNG)["masks"].bitmaps().pixels]
    assert areas[0] == 500 and 200 < areas[1] < 300


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ("nonsense", "is 'nonsense', but must be a list of polygons or an object with counts"),
        (SQUARE, "holds 5, but must be a list of polygons: [[x, y, x, y, ...]]"),
        ([SQUARE[:7]], "holds a polygon of 7 numbers, but each vertex has two"),
        ([[*SQUARE[:7], "30"]], "holds '30' in a polygon, which is no number"),
        ([[*SQUARE[:7], True]], "holds true in a polygon, which is no number"),
        ([[*SQUARE[:7], 1e400]], "vertices that are no numbers or lie far outside of its image of 60x40 px"),
        (
            [[*SQUARE[:7], 10**400]],
            "vertices that are no numbers or lie far outside of its image of 60x40 px",
        ),
        ([[*SQUARE[:7], 300]], "vertices that are no numbers or lie far outside of its image of 60x40 px"),
        (
            {"size": [60, 40], "counts": [2400]},
            "of size [60, 40] (height, width), but its image has [40, 60]",
        ),
        ({"counts": [2400]}, "of size null (height, width), but its image has [40, 60]"),
        ({"size": [40, 60], "counts": [2399]}, "do not add up to the 40 x 60 pixels of its image"),
        ({"size": [40, 60], "counts": [2401, -1]}, "do not add up to the 40 x 60 pixels"),
        ({"size": [40, 60], "counts": [1e3, 1400]}, "has counts [1000.0, 1400], but they must be whole"),
        ({"size": [40, 60], "counts": "0P"}, "ends within a number"),
        ({"size": [40, 60], "counts": "0"}, "do not add up"),
        ({"size": [40, 60]}, "has counts null, but they must be whole numbers or text"),
    ],
)
def test_shapes_that_cannot_be_masks_are_refused(tmp_path, segmentation, reason):
    text = refusal(tmp_path, annotation([SQUARE]), annotation(segmentation))
    assert reason in text and "annotation 2: segmentation" in text


def test_a_file_with_boxes_but_no_masks(tmp_path):
    text = refusal(tmp_path, annotation(None), annotation([]), annotation([], iscrowd=1))
    assert "instances.json" in text and "holds 2 objects with boxes and no mask (`segmentation`)" in text
    assert "set with_masks=False" in text


def test_masks_that_lie_elsewhere_than_most_boxes(tmp_path):
    fractions = [[number / 60 for number in SQUARE]]
    text = refusal(tmp_path, annotation([SQUARE]), annotation(fractions), annotation(fractions))
    assert "holds 2 of 3 masks that lie elsewhere than their boxes (first: annotation 2)" in text


def test_images_without_objects_and_with_crowds_alone(tmp_path):
    crowd = annotation({"size": [40, 60], "counts": from_bitmap(HOLE)["counts"]}, iscrowd=1)
    read = dataset(tmp_path / "crowd", crowd)
    sample = read.get(0, RNG)
    assert len(sample["masks"]) == 0 and len(sample["boxes_ignore"]) == 1 and read.account().trained == 0
    images_dir, path = write_coco(tmp_path / "empty", [IMAGE], annotations=[])
    empty = COCODataset(str(images_dir), str(path), filter_empty_gt=False, with_masks=True)
    assert empty.ground_truth()[0]["masks"] == [] and len(empty.get(0, RNG)["masks"]) == 0


def test_the_drawn_dataset_and_its_coco_file_have_the_same_masks(tmp_path):
    drawn = DrawnDataset(num_images=30, with_masks=True)
    path = drawn.to_coco(tmp_path)
    read = COCODataset(str(tmp_path / "train"), str(path), with_masks=True, filter_empty_gt=False)
    plain = COCODataset(str(tmp_path / "train"), str(path), filter_empty_gt=False)
    np.testing.assert_array_equal(read.table.boxes, plain.table.boxes)
    assert not read.problems and read.table.masks.is_usable.all()
    for index in range(30):
        ours, theirs = drawn.ground_truth()[index]["masks"], read.ground_truth()[index]["masks"]
        assert ours == theirs
        figures = drawn.scenes[index]
        if figures:  # the last one hides the others, and nothing hides it
            last = figures[-1].coverage(np.arange(128) + 0.5, np.arange(128) + 0.5) >= 0.5
            np.testing.assert_array_equal(to_bitmap(ours[-1]), last)
            assert sum(map(to_bitmap, ours)).max() == 1
    polygons = json.loads(path.read_text())["annotations"][0]["segmentation"]
    assert len(polygons) == 1 and set(map(type, polygons[0])) == {int}
