from __future__ import annotations

import json

import numpy as np
import pytest

from jld.data import COCODataset
from jld.data.classes import COCO_CATEGORIES, COCO_CLASSES, VOC_CLASSES
from jld.errors import ConfigError, DataError
from tests.tiny_data import TINY_IMAGES, write_coco

RNG = np.random.default_rng(0)


def annotation(index, image_id, category_id, bbox, **more):
    return {
        "id": index,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": bbox,
        "area": bbox[2] * bbox[3],
        **more,
    }


def test_boxes_labels_and_images_are_read(coco_folder):
    dataset = COCODataset(*map(str, coco_folder), filter_empty_gt=False)
    assert dataset.classes == ("cat", "dog") and dataset.category_ids == (3, 13)
    assert dataset.image_ids == [100, 101, 102, 103]
    np.testing.assert_array_equal(dataset.image_sizes(), [[40, 60], [60, 40], [50, 50], [36, 64]])
    for index, (size, objects) in enumerate(TINY_IMAGES):
        sample, truth = dataset.get(index, RNG), dataset.ground_truth()[index]
        expected = np.array([item[1:] for item in objects], np.float32).reshape(-1, 4)
        np.testing.assert_array_equal(sample["boxes"], expected)
        np.testing.assert_array_equal(truth["boxes"], expected)
        assert sample["labels"].tolist() == [("cat", "dog").index(item[0]) for item in objects]
        assert sample["image"].shape == (3, size[1], size[0]) and sample["image"].dtype == np.float32
        assert (truth["width"], truth["height"]) == size and sample["ori_shape"] == (size[1], size[0])
        for x1, y1, x2, y2 in expected.astype(int):
            assert (sample["image"][:, y1:y2, x1:x2] == 200).all()


def test_images_without_objects_go_unless_they_are_wanted(coco_folder):
    assert COCODataset(*map(str, coco_folder)).image_ids == [100, 101, 103]
    assert COCODataset(*map(str, coco_folder), min_size=37).image_ids == [100, 101]
    # an image of another class only is empty too
    assert COCODataset(*map(str, coco_folder), classes=["cat"]).image_ids == [100, 103]
    empty = COCODataset(*map(str, coco_folder), filter_empty_gt=False).get(2, RNG)
    assert empty["boxes"].shape == (0, 4) and empty["labels"].shape == (0,)
    with pytest.raises(DataError, match="filter_empty_gt=False"):
        COCODataset(*map(str, coco_folder), min_size=500)


def test_labels_follow_the_order_of_classes(coco_folder, tmp_path):
    listed = tmp_path / "names.txt"
    listed.write_text("dog\n\ncat\n")
    for classes in (["dog", "cat"], str(listed)):
        dataset = COCODataset(*map(str, coco_folder), classes=classes)
        assert dataset.get(0, RNG)["labels"].tolist() == [1, 0] and dataset.category_ids == (13, 3)
    only_dogs = COCODataset(*map(str, coco_folder), classes="dog")
    assert only_dogs.classes == ("dog",) and [len(truth["boxes"]) for truth in only_dogs.ground_truth()] == [
        1,
        1,
        1,
    ]
    with pytest.raises(DataError, match="no category 'dgo': did you mean 'dog'"):
        COCODataset(*map(str, coco_folder), classes=["cat", "dgo"])
    with pytest.raises(ConfigError, match="each name once"):
        COCODataset(*map(str, coco_folder), classes=["cat", "cat"])


def test_crowds_are_ignored_and_slivers_dropped_in_training_only(tmp_path):
    folder, path = write_coco(
        tmp_path,
        TINY_IMAGES[:1],
        annotations=[
            annotation(1, 100, 3, [5, 5, 20, 25]),
            annotation(2, 100, 3, [0, 0, 60, 40], iscrowd=1),
            annotation(3, 100, 13, [9, 9, 0, 10]),
            annotation(4, 100, 13, [9, 9, 0.6, 10]),
            annotation(5, 100, 13, [9.5, 9.25, 4.5, 10.5], area=40.5),
            annotation(6, 100, 13, [1, 1, 5, 5], ignore=1),
        ],
    )
    dataset = COCODataset(str(folder), str(path))
    sample, truth = dataset.get(0, RNG), dataset.ground_truth()[0]
    np.testing.assert_array_equal(sample["boxes"], [[5, 5, 25, 30], [9.5, 9.25, 14, 19.75]])
    np.testing.assert_array_equal(sample["boxes_ignore"], [[0, 0, 60, 40]])
    assert sample["labels"].tolist() == [0, 1]
    assert truth["is_crowd"].tolist() == [False, True, False, False, False, False]
    assert truth["areas"].tolist() == [500, 2400, 0, 6, 40.5, 25]
    assert [problem.severity for problem in dataset.problems] == ["warning", "warning"]


def test_all_wrong_annotations_are_shown_together(tmp_path):
    folder, path = write_coco(
        tmp_path,
        annotations=[
            annotation(1, 100, 3, [5, 5, 20, 25]),
            annotation(2, 999, 3, [5, 5, 20, 25]),
            annotation(3, 100, 4, [5, 5, 20, 25]),
            annotation(4, 100, 3, [5, 5, -20, 25]),
            annotation(5, 101, 3, [70, 5, 20, 25]),
            annotation(6, 100, 3, [50, 5, 20, 25]),
            {"id": 7, "image_id": 100, "category_id": 3, "bbox": [1, 2, 3]},
            {"id": 8, "image_id": 100, "category_id": 3, "bbox": [1, 2, 3, "4"]},
        ],
    )
    with pytest.raises(DataError) as caught:
        COCODataset(str(folder), str(path))
    text = str(caught.value)
    assert "has 6 problems" in text
    assert "annotations[1] (id 2) belongs to image_id 999" in text
    assert "annotations[2] (id 3) has category_id 4; the categories have the ids 3, 13" in text
    assert "annotation 4: box [5.0, 5.0, -20.0, 25.0] (x, y, w, h) has a negative" in text
    assert "box [70.0, 5.0, 20.0, 25.0] (x, y, w, h) lies outside its image (image 001.png, 40x60 px)" in text
    assert (
        "(id 7): bbox is [1, 2, 3], but must be [x, y, width, height]" in text
        and "not made of four numbers" in text
    )
    lenient = COCODataset(str(folder), str(path), strict=False, filter_empty_gt=False)
    assert [len(lenient.get(index, RNG)["boxes"]) for index in range(4)] == [2, 0, 0, 0]
    assert [problem.message for problem in lenient.problems if problem.severity == "warning"] == [
        "annotation 6: box [50.0, 5.0, 20.0, 25.0] (x, y, w, h) reaches beyond its image and is clipped "
        "(image 000.png, 60x40 px)."
    ]


def test_unusable_json_is_named_with_its_line(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text('{\n "images": [\n {"id": 1,}\n]}')
    with pytest.raises(DataError, match=r"broken\.json:3: no valid json"):
        COCODataset(str(tmp_path), str(path))
    for content, reason in (
        ([], "expected an object"),
        ({"images": []}, "list 'images' is missing or empty"),
    ):
        path.write_text(json.dumps(content))
        with pytest.raises(DataError, match=reason):
            COCODataset(str(tmp_path), str(path))
    with pytest.raises(DataError, match="does not exist"):
        COCODataset(str(tmp_path), "nowhere.json")


def test_a_test_set_may_lack_annotations(coco_folder):
    folder, path = coco_folder
    content = json.loads(path.read_text())
    del content["annotations"]
    path.write_text(json.dumps(content))
    dataset = COCODataset(str(folder), str(path), filter_empty_gt=False)
    assert len(dataset) == 4 and dataset.get(3, RNG)["boxes"].shape == (0, 4)
    with pytest.raises(DataError, match="'annotations' is missing"):
        COCODataset(str(folder), str(path))


def test_other_keys_for_the_two_paths_and_repetition(coco_folder):
    folder, path = map(str, coco_folder)
    dataset = COCODataset(images_dir=folder, annotations_file=path, times=3)
    assert len(dataset) == 9 and len(dataset.ground_truth()) == 3 and len(dataset.image_sizes()) == 9
    assert [dataset.get(index, RNG)["img_id"] for index in (1, 4, 7)] == [101, 101, 101]
    with pytest.raises(ConfigError, match="exactly one of root and images_dir"):
        COCODataset(folder, path, images_dir=folder)


def test_ground_truth_agrees_with_pycocotools(coco_folder):
    coco = pytest.importorskip("pycocotools.coco").COCO(str(coco_folder[1]))
    for truth in COCODataset(*map(str, coco_folder), filter_empty_gt=False).ground_truth():
        expected = coco.loadAnns(coco.getAnnIds(imgIds=truth["img_id"]))
        xywh = np.concatenate([truth["boxes"][:, :2], truth["boxes"][:, 2:] - truth["boxes"][:, :2]], axis=1)
        np.testing.assert_array_equal(xywh, np.array([item["bbox"] for item in expected]).reshape(-1, 4))
        assert truth["areas"].tolist() == [item["area"] for item in expected]


def test_class_tables():
    assert len(COCO_CLASSES) == len(set(COCO_CLASSES)) == 80 and len(set(VOC_CLASSES)) == 20
    assert (
        COCO_CATEGORIES[1] == "person"
        and COCO_CATEGORIES[44] == "bottle"
        and COCO_CATEGORIES[90] == "toothbrush"
    )
    assert sorted(COCO_CATEGORIES) == list(COCO_CATEGORIES)
    missing = {12, 26, 29, 30, 45, 66, 68, 69, 71, 83}
    assert set(range(1, 91)) - set(COCO_CATEGORIES) == missing
