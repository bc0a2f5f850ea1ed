"""Class names that a config tells without its data being there."""

import pytest

from jld.data.account import Tally
from jld.data.aerial_shapes import KINDS
from jld.data.classes import COCO_CLASSES, class_names, class_names_of, is_misspelt, unmatched_names
from jld.data.dota import DOTA1_CLASSES, DOTA2_CLASSES, FAIR_CLASSES
from jld.errors import ConfigError


@pytest.mark.parametrize(
    ("section", "classes"),
    [
        ({"type": "COCODataset"}, COCO_CLASSES),
        ({"type": "COCODataset", "classes": ["a", "b"]}, ("a", "b")),
        ({"type": "DOTADataset"}, DOTA1_CLASSES),
        ({"type": "DOTADataset", "version": "2"}, DOTA2_CLASSES),
        ({"type": "DOTADataset", "version": "SSDD"}, ("ship",)),
        ({"type": "ImageDataset", "dataset_type": "FAIR"}, FAIR_CLASSES),
        ({"type": "DrawnOrientedDataset"}, KINDS),
        ({"type": "MyDataset"}, ()),
    ],
)
def test_classes_of_a_dataset_section(section, classes):
    assert class_names_of({"dataset": {"test": None, "val": section}}) == classes


def test_unknown_versions_are_named():
    with pytest.raises(ConfigError, match="did you mean '1_5'"):
        class_names_of({"dataset": {"val": {"type": "DOTADataset", "version": "1.5"}}})
    assert class_names_of({}) == ()


def test_names_come_from_lists_and_files(tmp_path):
    listed = tmp_path / "names.txt"
    listed.write_bytes("\ufeffcat\r\n\r\n dog \r\n".encode())
    assert class_names(str(listed)) == class_names(["cat", "dog"]) == ("cat", "dog")
    assert class_names("cat") == ("cat",) and class_names(None) is None
    for classes in ([], ["cat", "cat"], ["cat", ""], ["cat", 3], ["a\0"], str(tmp_path / "none.txt")):
        with pytest.raises(ConfigError, match="classes"):
            class_names(classes)


@pytest.mark.parametrize(
    "first, second, same",
    [
        ("storage_tank", "storage-tank", True),
        ("Ship", "ships", True),
        ("Boeing737", "Boeing747", False),
        ("large-vehicle", "small-vehicle", False),
        ("cat", "car", False),
    ],
)
def test_names_that_are_most_likely_one(first, second, same):
    assert is_misspelt(first, second) == is_misspelt(second, first) == same


def test_a_class_without_objects_is_no_error_by_itself():
    other = Tally()
    other.add("truck", "a.txt", 3)
    (said,) = unmatched_names(["ship", "helipad"], {"ship"}, other, "labels")
    assert said.severity == "warning" and "'truck' (3); none is of 'helipad'." in said.message
    other.add("storage-tank", "b.txt", 2)
    (said,) = unmatched_names(["ship", "tank"], {"ship"}, other, "labels")
    assert said.severity == "warning" and "none is of 'tank' (did you mean 'storage-tank'?)" in said.message
    assert unmatched_names(["ship", "helipad"], {"ship"}, Tally(), "labels") == []
    assert unmatched_names(["trucks"], {"trucks"}, other, "labels")[0].severity == "warning"


def test_a_name_longer_than_any_file_is_a_name():
    assert class_names("x" * 5000) == ("x" * 5000,)
