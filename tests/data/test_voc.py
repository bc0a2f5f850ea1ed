from __future__ import annotations

import numpy as np
import pytest

from jld.data import VOCDataset, check_dataset
from jld.data.voc_xml import read_voc_xml
from jld.errors import ConfigError, DataError
from tests.real_data import real_dataset
from tests.tiny_data import TINY_CLASSES, TINY_IMAGES, voc_xml, write_voc

RNG = np.random.default_rng(0)


def test_boxes_count_from_one_in_the_file_and_from_zero_here(voc_folder):
    dataset = VOCDataset(str(voc_folder), classes=TINY_CLASSES, filter_empty_gt=False)
    assert dataset.image_ids == ["img0", "img1", "img2", "img3"]
    for index, (size, objects) in enumerate(TINY_IMAGES):
        sample = dataset.get(index, RNG)
        np.testing.assert_array_equal(
            sample["boxes"], np.array([item[1:] for item in objects]).reshape(-1, 4)
        )
        assert sample["labels"].tolist() == [TINY_CLASSES.index(item[0]) for item in objects]
        assert sample["ori_shape"] == (size[1], size[0])
    assert VOCDataset(str(voc_folder), classes=TINY_CLASSES).image_ids == ["img0", "img1", "img3"]


def test_coordinates_can_be_taken_as_they_are(tmp_path):
    root = write_voc(tmp_path, [((60, 40), [("cat", 4.75, 5.25, 24.5, 30)])])
    assert VOCDataset(root, classes="cat").ground_truth()[0]["boxes"].tolist() == [[4, 5, 24, 30]]
    exact = VOCDataset(root, classes="cat", one_based=False).ground_truth()[0]
    assert exact["boxes"].tolist() == [[5.75, 6.25, 25.5, 31]]
    assert exact["areas"].tolist() == [19.75 * 24.75]


def test_difficult_objects_are_ignored_in_training_and_marked_for_evaluation(tmp_path):
    root = write_voc(
        tmp_path, [((60, 40), [("cat", 5, 5, 25, 30), ("dog", 30, 10, 55, 38, 1), ("dog", 7, 7, 7, 20)])]
    )
    dataset = VOCDataset(str(root), classes=TINY_CLASSES)
    sample, truth = dataset.get(0, RNG), dataset.ground_truth()[0]
    assert sample["boxes"].tolist() == [[5, 5, 25, 30]] and sample["boxes_ignore"].tolist() == [
        [30, 10, 55, 38]
    ]
    assert truth["is_difficult"].tolist() == [False, True, False] and len(truth["boxes"]) == 3
    assert dataset.default_evaluator == "VocEvaluator"


def test_roots_and_sets_are_paired(tmp_path):
    first = write_voc(tmp_path / "VOC2007", TINY_IMAGES[:2])
    second = write_voc(tmp_path / "VOC2012", TINY_IMAGES[3:], set_name="train")
    both = VOCDataset([str(first), str(second)], ["trainval", "train"], classes=TINY_CLASSES, times=3)
    assert both.image_ids == ["img0", "img1", "VOC2012/img0"] and len(both) == 9
    assert both.get(2, RNG)["image"].shape == (3, 36, 64)
    with pytest.raises(ConfigError, match="2 roots and 3 image sets"):
        VOCDataset([first, second], ["a", "b", "c"])
    with pytest.raises(DataError, match=r"trainva\.txt does not exist: did you mean 'trainval'"):
        VOCDataset(str(first), "trainva")


def test_every_wrong_object_is_named_with_its_line(tmp_path):
    objects = [("cat", 5, 5, 25, 30), ("dgo", 5, 5, 25, 30), ("dog", 30, 5, 25, 30), ("dog", 70, 5, 90, 30)]
    root = write_voc(tmp_path, [((60, 40), objects), ((60, 40), [("cat", 1, 1, 9, 9)]), ((60, 40), [])])
    (root / "Annotations/img1.xml").unlink()
    (root / "Annotations/img2.xml").write_text("<annotation>\n<object>\n</annotation>")
    with pytest.raises(DataError) as caught:
        VOCDataset(str(root), classes=TINY_CLASSES)
    text = str(caught.value)
    assert "has 5 problems" in text
    assert "img0.xml:17: class 'dgo' is not in classes: did you mean 'dog'?" in text  # object 1: line 16
    assert "img0.xml:30: dog box (31, 6, 26, 31) has xmax below xmin" in text  # object 2: line 26, xmin 30
    assert "img0.xml:40: dog box (71, 6, 91, 31) lies outside its image of 60x40 px" in text
    assert "img1.xml: annotation file cannot be read" in text
    assert "img2.xml:3: malformed xml, mismatched tag" in text
    lenient = VOCDataset(str(root), classes=TINY_CLASSES, strict=False)
    assert lenient.get(0, RNG)["boxes"].tolist() == [[5, 5, 25, 30]]


def test_other_class_names_can_be_passed_over(voc_folder):
    with pytest.raises(DataError, match="class 'dog' is not in classes: known are: cat"):
        VOCDataset(str(voc_folder), classes=["cat"])
    dataset = VOCDataset(str(voc_folder), classes=["cat"], unknown_classes="ignore")
    assert [len(truth["boxes"]) for truth in dataset.ground_truth()] == [1, 2]
    (said,) = dataset.problems
    assert said.severity == "warning" and "passes over 3 objects" in str(said) and "'dog' (3)" in str(said)


def test_a_long_list_of_problems_is_cut(tmp_path):
    root = write_voc(tmp_path, [((60, 40), [("bird", 5, 5, 25, 30)] * 25)])
    with pytest.raises(DataError, match="has 25 problems") as caught:
        VOCDataset(str(root), classes=TINY_CLASSES)
    assert str(caught.value).count("class 'bird'") == 20 and "... and 5 more." in str(caught.value)


def test_missing_size_comes_from_the_image_header(voc_folder):
    path = voc_folder / "Annotations/img1.xml"
    path.write_text(path.read_text().replace("<width>40</width>", "<width>0</width>"))
    assert VOCDataset(str(voc_folder), classes=TINY_CLASSES).image_sizes()[1].tolist() == [60, 40]


def test_objects_without_numbers_say_which(tmp_path):
    path = tmp_path / "a.xml"
    path.write_text(voc_xml((60, 40), [("cat", 1, 1, 2, 2)]).replace("<ymax>3</ymax>", "<ymax>x</ymax>"))
    (item,) = read_voc_xml(path).objects
    assert item.line == 6 and item.line_of("name") == 7
    with pytest.raises(ValueError, match="has the ymax 'x', which is no number"):
        item.box()
    path.write_text(path.read_text().replace("<ymax>x</ymax>", ""))
    with pytest.raises(ValueError, match="has no ymax"):
        read_voc_xml(path).objects[0].box()


@pytest.mark.parametrize(
    "image_set, images, boxes", [("train", 205, 2805), ("val", 87, 1138), ("test", 72, 945)]
)
def test_bccd_loads_completely(image_set, images, boxes):
    root = real_dataset("bccd")
    dataset = VOCDataset(str(root), image_set, classes=["RBC", "WBC", "Platelets"], filter_empty_gt=False)
    assert len(dataset) == images and sum(len(truth["boxes"]) for truth in dataset.ground_truth()) == boxes
    assert not [problem for problem in check_dataset(dataset) if problem.severity == "error"]
    for index in range(0, images, 20):
        sample = dataset.get(index, RNG)
        assert sample["image"].shape == (3, 480, 640) and len(sample["boxes"])
