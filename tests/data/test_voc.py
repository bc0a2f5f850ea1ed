from __future__ import annotations

import numpy as np
import pytest

from jld.data import VOCDataset, check_dataset
from jld.data.voc_xml import SIDES, read_voc_xml
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


def set_list(root, text):
    (root / "ImageSets/Main/trainval.txt").write_text(text, encoding="utf-8")
    return root


def test_names_with_spaces_are_names_and_class_wise_lists_have_a_second_column(tmp_path):
    root = write_voc(tmp_path, TINY_IMAGES[:2])
    for folder, suffix in (("Annotations", "xml"), ("JPEGImages", "png")):
        (root / folder / f"img0.{suffix}").rename(root / folder / f"harbour 1.{suffix}")
    both = VOCDataset(str(set_list(root, "harbour 1\nimg1\n")), classes=TINY_CLASSES)
    assert both.image_ids == ["harbour 1", "img1"]
    only = VOCDataset(str(set_list(root, "harbour 1\n")), classes=TINY_CLASSES)
    assert only.image_ids == ["harbour 1"]
    listed = VOCDataset(str(set_list(root, "harbour 1  1\nimg1 -1\n")), classes=TINY_CLASSES)
    assert listed.image_ids == ["harbour 1", "img1"]


def test_an_image_is_named_once(tmp_path):
    root = write_voc(tmp_path, TINY_IMAGES[:2])
    with pytest.raises(DataError, match=r"img1\.xml: image is listed twice \(as img1\)"):
        VOCDataset(str(set_list(root, "img0\nimg1\nimg1\n")), classes=TINY_CLASSES)
    with pytest.raises(DataError, match="listed twice"):
        VOCDataset(str(set_list(root, "img0\n./img0\n")), classes=TINY_CLASSES)
    (root / "ImageSets/Main/val.txt").write_text("img1\n")
    set_list(root, "img0\nimg1\n")
    with pytest.raises(DataError, match="listed twice"):
        VOCDataset([str(root), f"{root}/../{root.name}"], ["trainval", "val"], classes=TINY_CLASSES)
    (root / "JPEGImages/img0.jpg").touch()
    with pytest.raises(DataError, match=r"img0\.xml: has two images, img0\.jpg and img0\.png"):
        VOCDataset(str(root), classes=TINY_CLASSES)


def test_roots_of_the_same_name_keep_their_images_apart(tmp_path):
    roots = [str(write_voc(tmp_path / str(index) / "VOC", TINY_IMAGES[:1])) for index in range(3)]
    ids = VOCDataset(roots, classes=TINY_CLASSES).image_ids
    assert ids[:2] == ["img0", "VOC/img0"] and len(set(ids)) == 3


def edited(tmp_path, *changes):
    root = write_voc(tmp_path, [((60, 40), [("cat", 5, 5, 25, 30), ("dog", 30, 10, 55, 38)])])
    path = root / "Annotations/img0.xml"
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    return str(root)


@pytest.mark.parametrize(
    "word, difficult", [("Unspecified", False), ("false", False), ("", False), ("true", True), ("1.0", True)]
)
def test_difficult_may_be_a_word(tmp_path, word, difficult):
    root = edited(tmp_path, ("<difficult>0<", f"<difficult>{word}<"))
    truth = VOCDataset(root, classes=TINY_CLASSES).ground_truth()[0]
    assert truth["is_difficult"].tolist() == [difficult, False]


def test_a_difficult_that_says_nothing_is_refused(tmp_path):
    root = edited(tmp_path, ("<difficult>0<", "<difficult>hard<"))
    with pytest.raises(DataError, match=r"img0\.xml:6: object 'cat' has a difficult that is 'hard'"):
        VOCDataset(root, classes=TINY_CLASSES)


def test_two_boxes_in_an_object_are_two_objects(tmp_path):
    more = "".join(f"<{side}>{value}</{side}>" for side, value in zip(SIDES, (2, 3, 20, 30), strict=True))
    root = edited(tmp_path, ("</bndbox>", f"</bndbox><bndbox>{more}</bndbox>"))
    truth = VOCDataset(root, classes=TINY_CLASSES).ground_truth()[0]
    assert truth["labels"].tolist() == [0, 0, 1] and truth["boxes"][1].tolist() == [1, 2, 19, 29]


@pytest.mark.parametrize(
    "changes, reason",
    [
        ([("<name>cat</name>", "<name>cat</name><name>dog</name>")], r"img0\.xml:6: an object that has two"),
        ([("<annotation>", "<labels>"), ("</annotation>", "</labels>")], "here it is below <labels>"),
        ([("</size>", "</size><objects>"), ("</annotation>", "</objects></annotation>")], "further down"),
        ([("<xmin>6</xmin>", "<xmin>1_0</xmin>")], "has the xmin '1_0', which is no number"),
        ([("<xmin>6</xmin>", "<xmin>inf</xmin>")], "has the xmin 'inf', which is not finite"),
    ],
)
def test_annotations_of_another_form_are_refused(tmp_path, changes, reason):
    with pytest.raises(DataError, match=reason):
        VOCDataset(edited(tmp_path, *changes), classes=TINY_CLASSES)


@pytest.mark.parametrize("width", ["1e999", "nan", "-5", "wide", "9000000"])
def test_a_size_that_cannot_be_is_taken_from_the_image_with_a_word(tmp_path, width):
    dataset = VOCDataset(edited(tmp_path, ("<width>60<", f"<width>{width}<")), classes=TINY_CLASSES)
    assert dataset.image_sizes().tolist() == [[40, 60]]
    assert f"gives its image the side {width!r}" in str(dataset.problems[0])


def test_fractions_are_refused(tmp_path):
    root = write_voc(tmp_path, [((60, 40), [("cat", -0.9, -0.75, -0.5, -0.25)])])  # written with 1 added
    with pytest.raises(DataError, match="has boxes that all lie between 0 and 1"):
        VOCDataset(str(root), classes=TINY_CLASSES)


def test_classes_that_match_nothing_are_an_error_with_the_likely_name(tmp_path):
    root = write_voc(tmp_path, [((60, 40), [("wind_mill", 5, 5, 25, 30), ("dog", 5, 5, 25, 30)])])
    options = {"unknown_classes": "ignore", "filter_empty_gt": False}
    with pytest.raises(DataError, match="no object of the class 'windmill', but 1 of 'wind_mill'"):
        VOCDataset(str(root), classes=["windmill", "dog"], **options)
    with pytest.raises(DataError, match=r"no object of the classes horse; its objects are 'wind_mill' \(1\)"):
        VOCDataset(str(root), classes=["horse"], **options)


def test_rectangles_that_cvat_stores_unturned_become_the_boxes_around_them(tmp_path):
    def turned(value):
        xml = voc_xml((90, 80), [("cat", 20, 30, 60, 40), ("dog", 5, 5, 30, 30)])
        attribute = (
            f"<attributes><attribute><name>rotation</name><value>{value}</value></attribute></attributes>"
        )
        (root / "Annotations/img0.xml").write_text(xml.replace("<bndbox>", f"{attribute}<bndbox>", 1))
        return VOCDataset(str(root), classes=TINY_CLASSES, one_based=False)

    root = write_voc(tmp_path, [((90, 80), [])])
    data = turned("90.0")
    (truth,) = data.ground_truth()
    np.testing.assert_allclose(truth["boxes"], [[36, 16, 46, 56], [6, 6, 31, 31]])
    assert ["1 rotated rectangles" in str(problem) for problem in data.problems] == [True]
    assert turned("180").ground_truth()[0]["boxes"][0].tolist() == [21, 31, 61, 41]
    with pytest.raises(DataError, match="has a rotation that is 'ninety', which is no number"):
        turned("ninety")


def test_xml_files_beside_their_images_are_read_as_they_are(voc_folder):
    for name in ("JPEGImages", "Annotations"):
        for file in (voc_folder / name).iterdir():
            file.rename(voc_folder / file.name)
        (voc_folder / name).rmdir()
    (voc_folder / "img3.xml").unlink()
    with pytest.raises(DataError, match="did you mean 'trainval'"):
        VOCDataset(str(voc_folder), "train", classes=TINY_CLASSES)
    listed = (voc_folder / "ImageSets/Main/trainval.txt").rename(voc_folder / "list.txt")
    with pytest.raises(DataError, match=r"trainval\.txt does not exist"):
        VOCDataset(str(voc_folder), classes=TINY_CLASSES)
    listed.unlink()
    (voc_folder / "ImageSets/Main").rmdir()
    (voc_folder / "ImageSets").rmdir()
    data = VOCDataset(str(voc_folder), classes=TINY_CLASSES, filter_empty_gt=False)
    assert data.image_ids == ["img0", "img1", "img2"]
    assert data.ground_truth()[0]["boxes"].tolist() == [[5, 5, 25, 30], [30, 10, 55, 38]]
    assert data.account().images_left_out.counts == {"without an xml file": 1}
    assert "1 images without an xml file are left out, first: img3" in str(data.problems[0])
    with pytest.raises(DataError, match=r"image set .*train\.txt does not exist"):
        VOCDataset(str(voc_folder), "train", classes=TINY_CLASSES)
    for file in voc_folder.glob("*.xml"):
        file.unlink()
    with pytest.raises(DataError, match="neither ImageSets/Main nor xml files"):
        VOCDataset(str(voc_folder), classes=TINY_CLASSES)
