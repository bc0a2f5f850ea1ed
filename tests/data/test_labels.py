"""Datasets that follow the class names of someone else."""

import zipfile

import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.data import COCODataset, DOTADataset, ImageDataset, ImageFolder, VOCDataset
from jld.data.dota import PolyAnnotation
from jld.data.labels import follow_classes
from jld.errors import ConfigError
from tests.data.test_dota_dataset import write_txt
from tests.tiny_data import TINY_CLASSES

RNG = np.random.default_rng(0)
NAMES = {"ours": "dataset.val", "theirs": "dataset.train"}


def test_equal_and_unknown_names_change_nothing(coco_folder):
    dataset = COCODataset(*map(str, coco_folder))
    for wanted in (["cat", "dog"], []):
        assert follow_classes(dataset, wanted, **NAMES) == (dataset, "")


def test_another_order_moves_labels_ids_and_truth(coco_folder):
    dataset = COCODataset(*map(str, coco_folder))
    other, said = follow_classes(dataset, ["dog", "cat"], **NAMES)
    assert said == (
        "dataset.val has the classes of dataset.train in another order: its labels follow dataset.train "
        "(dog, cat)."
    )
    assert other.classes == ("dog", "cat") and other.category_ids == (13, 3)
    assert dataset.classes == ("cat", "dog") and dataset.category_ids == (3, 13)
    for index in range(len(dataset)):
        before, after = dataset.get(index, RNG)["labels"], other.get(index, RNG)["labels"]
        assert [dataset.classes[label] for label in before] == [other.classes[label] for label in after]
        assert (
            other.ground_truth()[index]["labels"].tolist()
            == (1 - dataset.ground_truth()[index]["labels"]).tolist()
        )
    assert other.account().per_class == {"dog": 3, "cat": 3}


def test_three_classes_are_turned_the_right_way(tmp_path):
    from tests.tiny_data import write_voc

    objects = [(name, 5, 5, 25, 30) for name in ("a", "b", "b", "c")]
    dataset = VOCDataset(str(write_voc(tmp_path, [((60, 40), objects)])), classes=["a", "b", "c"])
    other, _ = follow_classes(dataset, ["c", "a", "b"], **NAMES)
    assert [other.classes[label] for label in other.get(0, RNG)["labels"]] == ["a", "b", "b", "c"]
    back, _ = follow_classes(other, ["a", "b", "c"], **NAMES)
    assert back.table.labels.tolist() == dataset.table.labels.tolist() == [0, 1, 1, 2]


def test_spelling_of_spaces_does_not_matter(coco_folder):
    folder, path = coco_folder
    path.write_text(path.read_text().replace('"cat"', '"traffic light"'))
    dataset = COCODataset(str(folder), str(path))
    other, said = follow_classes(dataset, ["traffic_light", "dog"], **NAMES)
    assert other.classes == ("traffic_light", "dog") and "in another spelling" in said
    assert other.table.labels.tolist() == dataset.table.labels.tolist()


@pytest.mark.parametrize(
    "wanted, hint",
    [
        (["cat", "dogs"], r"'dog' is not among them \(did you mean 'dogs'\?\)"),
        (["cat", "dog", "cow"], "'cow' is missing"),
        (["cat"], "'dog' is not among them"),
        (["Cat", "dog"], r"'cat' is not among them \(did you mean 'Cat'\?\)"),
        (["cat", "cat"], "has the 2 classes cat, cat"),
    ],
)
def test_other_names_are_refused_with_both_lists(coco_folder, wanted, hint):
    with pytest.raises(ConfigError, match=hint) as caught:
        follow_classes(COCODataset(*map(str, coco_folder)), wanted, **NAMES)
    assert f"dataset.val has the 2 classes cat, dog, but dataset.train has the {len(wanted)} classes" in str(
        caught.value
    )


def test_parts_of_datasets_stay_parts(coco_folder):
    part = COCODataset(*map(str, coco_folder)).first(2)
    other, _ = follow_classes(part, ["dog", "cat"], **NAMES)
    assert len(other) == 2 and other.classes == ("dog", "cat") and len(other.ground_truth()) == 2


def test_images_without_labels_take_over_names(coco_folder):
    folder = ImageFolder(str(coco_folder[0]))
    named, said = follow_classes(folder, TINY_CLASSES, **NAMES)
    assert named.classes == TINY_CLASSES and folder.classes == () and said == ""


def test_layouts_of_patches_follow(tmp_path):
    import cv2

    for name in ("images", "labelTxt"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), np.zeros((60, 60, 3), np.uint8))
    (tmp_path / "labelTxt/a.txt").write_text("10 10 50 10 50 40 10 40 ship 0\n")
    dataset = DOTADataset(str(tmp_path), classes=["plane", "ship"])
    images = ImageDataset(str(tmp_path / "images"), classes=["plane", "ship"])
    for each in (dataset, images):
        other, _ = follow_classes(each, ["ship", "plane"], **NAMES)
        assert other.layout.classes == other.classes == ("ship", "plane")
        assert each.layout.classes == ("plane", "ship")
    assert follow_classes(dataset, ["ship", "plane"], **NAMES)[0].get(0, RNG)["labels"].tolist() == [0]


def test_files_keep_their_spelling(tmp_path):
    square = "10 10 50 10 50 40 10 40"
    folder = write_txt(tmp_path, {"a": PolyAnnotation.of([], [])}, size=(60, 60))
    (folder / "labelTxt/a.txt").write_text(f"{square} Small_Car 0\n{square} ship 0\n{square} Small_Car 1\n")
    dataset = DOTADataset(
        str(folder), classes=["Small_Car", "ship"], whole_labels=str(folder / "labelTxt"), strict=False
    )
    other, _ = follow_classes(dataset, ["ship", "Small Car"], **NAMES)
    assert other.whole_ground_truth(["a"])[0]["labels"].tolist() == [1, 0, 1]
    path = other.write_results([Detections("a", [0.5], [1], polys=[[0, 0, 9, 0, 9, 9, 0, 9]])], tmp_path)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["Task1_ship.txt", "Task1_Small_Car.txt"]
        assert archive.read("Task1_Small_Car.txt").startswith(b"a 0.5 ")
    back, _ = follow_classes(other, ["Small-Car", "ship"], **NAMES)
    assert back.whole_ground_truth(["a"])[0]["labels"].tolist() == [0, 1, 0]
