"""Where the images and objects of a dataset went."""

import json

import numpy as np

from jld.data import COCODataset, DOTADataset, DrawnDataset, DrawnOrientedDataset, ImageFolder, VOCDataset
from jld.data.dota import PolyAnnotation
from tests.data.test_dota_dataset import SQUARE, write_txt
from tests.tiny_data import TINY_CLASSES, TINY_IMAGES, write_coco, write_voc


def counts(account):
    return account.images_left_out.counts, account.ignored.counts, account.dropped.counts


def test_every_object_of_a_coco_file_is_somewhere(tmp_path):
    boxes = [
        ([5, 5, 20, 25], {}),
        ([0, 0, 60, 40], {"iscrowd": 1}),
        ([9, 9, 0, 10], {}),
        ([1, 1, 5, 5], {"ignore": 1}),
        ([6, 6, 20, 20], {"category_id": 13}),
    ]
    annotations = [
        {"id": index, "image_id": 100, "category_id": 3, "bbox": box, **more}
        for index, (box, more) in enumerate(boxes)
    ]
    folder, path = write_coco(tmp_path, TINY_IMAGES, annotations=annotations)
    account = COCODataset(str(folder), str(path), classes=["cat"]).account()
    assert (account.images, account.images_used, account.objects, account.trained) == (4, 1, 5, 1)
    assert counts(account) == (
        {"without an object": 3},
        {"crowds": 1},
        {
            "of the category dog, which is not wanted": 1,
            "less than 1 px wide or high": 1,
            "marked `ignore`": 1,
        },
    )
    assert account.per_class == {"cat": 1}
    assert "4 images: 1 used, 3 left out (3 without an object, first: 101)" in account.describe()
    assert (
        "5 objects: 1 trained on, 1 ignored (1 crowds, first: cat of image 100), 3 dropped ("
        in account.describe()
    )
    assert json.loads(json.dumps(account.as_dict()))["ignored"] == {
        "crowds": {"count": 1, "example": "cat of image 100"}
    }


def test_a_sliver_at_the_border_that_single_precision_loses_is_counted_as_outside(tmp_path):
    name = {"id": 7, "name": "large.png", "file_name": "large.png", "width": 4000, "height": 40}
    inside, sliver = [5, 5, 20, 25], [3999.99999, 5, 30, 20]
    annotations = [
        {"id": index, "image_id": 7, "category_id": 3, "bbox": box}
        for index, box in enumerate((inside, sliver))
    ]
    content = {"images": [name], "annotations": annotations, "categories": [{"id": 3, "name": "cat"}]}
    (tmp_path / "one.json").write_text(json.dumps(content))
    account = COCODataset(str(tmp_path), str(tmp_path / "one.json"), classes=["cat"]).account()
    assert (account.trained, account.dropped.counts) == (1, {"outside of their image": 1})


def test_voc_counts_difficult_small_and_unwanted(tmp_path):
    images = [
        ((60, 40), [("cat", 5, 5, 25, 30), ("dog", 30, 10, 55, 38, 1), ("cow", 7, 7, 20, 20)]),
        ((30, 20), [("cat", 5, 5, 15, 15), ("dog", 5, 5, 15, 15)]),
    ]
    root = write_voc(tmp_path, images)
    account = VOCDataset(str(root), classes=TINY_CLASSES, unknown_classes="ignore", times=3).account()
    assert (account.images, account.images_used, account.objects, account.trained) == (2, 1, 5, 1)
    assert counts(account) == (
        {"with a side below 32 px": 1},
        {"difficult": 1},
        {"of the class cow, which is not wanted": 1, "in images with a side below 32 px": 2},
    )
    assert "without an object: dog" in account.describe()


def test_rotated_boxes_are_counted_once_however_often_an_image_is_visited(tmp_path):
    polys = [SQUARE, SQUARE, [1, 1, 30, 1, 30, 2, 1, 2], [100, 100, 120, 100, 120, 110, 100, 110], SQUARE]
    names = ["helicopter"] * 5
    annotations = {"a": PolyAnnotation.of(polys, names, [0, 1, 0, 0, 2]), "b": PolyAnnotation.of([], [])}
    account = DOTADataset(str(write_txt(tmp_path, annotations)), balance_category=True).account()
    assert (account.images, account.images_used, account.objects, account.trained) == (2, 1, 5, 1)
    assert counts(account)[1:] == (
        {"cut by the border of a patch": 1, "difficult": 1},
        {"less than 2 px wide or high": 1, "outside of their image": 1},
    )


def test_images_that_balancing_leaves_out_are_counted(tmp_path):
    annotations = {
        "a": PolyAnnotation.of([SQUARE], ["ship"]),
        "b": PolyAnnotation.of([SQUARE, SQUARE], ["ship", "plane"], [1, 2]),
    }
    folder = str(write_txt(tmp_path, annotations))
    account = DOTADataset(folder, balance_category=True, filter_empty_gt=False).account()
    assert (account.images, account.images_used, account.objects, account.trained) == (2, 1, 3, 1)
    assert account.images_left_out.examples == {"without an object to balance": "b"}
    assert account.dropped.counts == {"in images without an object to balance": 2}


def test_lenient_reading_counts_what_cannot_be_used(tmp_path):
    folder = write_txt(tmp_path, {"a": PolyAnnotation.of([SQUARE], ["ship"])})
    label = folder / "labelTxt/a.txt"
    label.write_text(label.read_text() + "1 2 3\n")
    account = DOTADataset(str(folder), strict=False).account()
    assert (account.objects, account.trained) == (2, 1) and "a.txt:2" in str(account.dropped)


def test_drawn_data_and_plain_images_have_accounts(coco_folder):
    for dataset in (DrawnDataset(num_images=20), DrawnOrientedDataset(num_images=4)):
        account = dataset.account()
        assert account.trained == len(dataset.table.labels) == sum(account.per_class.values()) > 0
        assert np.array_equal(account.images, len(dataset))
    assert ImageFolder(str(coco_folder[0])).account().images_used == 4
