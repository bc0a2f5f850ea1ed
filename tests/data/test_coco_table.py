"""What a COCO file may hold, what is put right with a word, and what is refused."""

from __future__ import annotations

import json
import math

import cv2
import numpy as np
import pytest

from jld.data import COCODataset, check_dataset
from jld.errors import DataError
from tests.tiny_data import TINY_IMAGES, write_coco

RNG = np.random.default_rng(0)
CATEGORIES = [{"id": 3, "name": "cat"}, {"id": 13, "name": "dog"}]


def one(bbox=(5, 5, 20, 25), image_id=100, category_id=3, **more):
    return {"id": 9, "image_id": image_id, "category_id": category_id, "bbox": list(bbox), **more}


def dataset(tmp_path, *annotations, edit=lambda content: None, **options):
    folder, path = write_coco(tmp_path, TINY_IMAGES, annotations=list(annotations))
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    return COCODataset(str(folder), str(path), **{"filter_empty_gt": False, **options})


def sayings(data):
    return " ".join(map(str, data.problems))


@pytest.mark.parametrize("area", [0, 0.0, -1, None])
def test_an_area_that_is_not_known_is_that_of_the_box(tmp_path, area):
    data = dataset(tmp_path, one(area=area), one((1, 1, 4, 5)), one((2, 2, 6, 6), area=7.5))
    assert data.table.areas.tolist() == [500, 20, 7.5] and data.table.is_usable.all()
    assert ("states an area of 0 or less for 1 of its objects" in sayings(data)) == (area is not None)


@pytest.mark.parametrize("key", ["iscrowd", "ignore"])
def test_flags_are_read_strictly(tmp_path, key):
    data = dataset(tmp_path, one(**{key: "false"}), one(**{key: None}), one(**{key: "1"}), one(**{key: True}))
    taken = data.table.is_crowd if key == "iscrowd" else ~data.table.is_usable
    assert taken.tolist() == [False, False, True, True]
    with pytest.raises(DataError, match=rf"annotations\[0\] \(id 9\): {key} is 2, but must say yes or no"):
        dataset(tmp_path / "2", one(**{key: 2}))


def test_a_category_with_two_ids_is_one_class(tmp_path):
    def edit(content):
        content["categories"] = [*CATEGORIES, {"id": 40, "name": "cat "}]

    data = dataset(tmp_path, one(), one(category_id=40), one(category_id=13), edit=edit)
    assert data.classes == ("cat", "dog") and data.category_ids == (3, 13)
    assert data.table.labels.tolist() == [0, 0, 1]
    assert "gives the category 'cat' the ids 3, 40: they are one class here" in sayings(data)


def test_an_id_with_two_names_is_refused(tmp_path):
    def edit(content):
        content["categories"] = [*CATEGORIES, {"id": "3", "name": "cow"}]

    with pytest.raises(DataError, match="gives the category id 3 two names, 'cat' and 'cow'"):
        dataset(tmp_path, one(), edit=edit)


def test_text_ids_match_number_ids(tmp_path):
    def edit(content):
        content["images"][0]["id"] = "100"
        content["categories"][1]["id"] = "13"

    data = dataset(tmp_path, one(image_id=100.0), one(image_id="100", category_id=13), edit=edit)
    assert data.image_ids[0] == "100" and data.category_ids == (3, 13)
    assert data.get(0, RNG)["labels"].tolist() == [0, 1]
    with pytest.raises(DataError, match="belongs to image_id 0100"):
        dataset(tmp_path / "2", one(image_id="0100"))


def test_a_root_category_is_named(tmp_path):
    def edit(content):
        content["categories"] = [
            {"id": 0, "name": "cells"},
            *({**each, "supercategory": "cells"} for each in CATEGORIES),
        ]

    data = dataset(tmp_path, one(), edit=edit)
    assert "no object of the category 'cells'" in sayings(data) and "classes=['cat', 'dog']" in sayings(data)
    assert not dataset(tmp_path / "2", one(), edit=edit, classes=["cat", "dog"]).problems


@pytest.mark.parametrize("place", ["attributes", "top"])
def test_rotated_rectangles_become_upright_boxes_with_a_word(tmp_path, place):
    turned = {"attributes": {"rotation": 30.0}} if place == "attributes" else {"rotation": 30}
    data = dataset(
        tmp_path, one((20, 10, 20, 10), **turned), one((20, 10, 20, 10), attributes={"rotation": 180})
    )
    half = (20 * math.cos(math.pi / 6) + 10 * math.sin(math.pi / 6)) / 2
    high = (20 * math.sin(math.pi / 6) + 10 * math.cos(math.pi / 6)) / 2
    np.testing.assert_allclose(data.table.boxes[0], [30 - half, 15 - high, 30 + half, 15 + high])
    assert data.table.boxes[1].tolist() == [20, 10, 40, 20] and data.table.areas.tolist() == [200, 200]
    assert "holds 1 rotated rectangles (first: annotation 9, rotation 30 degrees)" in sayings(data)
    with pytest.raises(DataError, match="rotation is 'left', which is no number"):
        dataset(tmp_path / "2", one(attributes={"rotation": "left"}))


def test_fractions_of_the_image_are_refused(tmp_path):
    with pytest.raises(DataError, match="holds 2 boxes that all lie between 0 and 1: fractions"):
        dataset(tmp_path, one((0.25, 0.5, 0.5, 0.25)), one((0, 0, 1, 1)))
    assert len(dataset(tmp_path / "2", one((0.25, 0.5, 0.5, 0.25)), one()).table.labels) == 2


def test_one_file_has_one_id(tmp_path):
    def edit(content):
        content["images"][1]["file_name"] = "./000.png"

    with pytest.raises(
        DataError, match=r"images\[1\] \(id 101\) is the file ./000\.png of images\[0\] \(id 100\)"
    ):
        dataset(tmp_path, one(), edit=edit)


def test_backslashes_are_folders(tmp_path):
    def edit(content):
        (tmp_path / "images/sub").mkdir()
        for image in content["images"]:
            (tmp_path / "images" / image["file_name"]).rename(tmp_path / "images/sub" / image["file_name"])
            image["file_name"] = f"sub\\{image['file_name']}"

    data = dataset(tmp_path, one(), edit=edit)
    assert [problem.severity for problem in check_dataset(data)] == ["warning"]
    assert "holds 4 names with backslashes" in sayings(data) and len(data.get(0, RNG)["boxes"]) == 1


@pytest.mark.parametrize(
    "place, key, value, reason",
    [
        ("images", "height", None, r"images\[0\] \(id 100\): height is null"),
        ("images", "width", "96.0", "width is the text '96.0'"),
        ("images", "width", 60.5, "width is 60.5, but must be a whole number of px"),
        ("images", "height", float("inf"), "height is inf, which is not finite"),
        ("images", "id", True, "id is true"),
        ("images", "file_name", 3, "file_name is 3, but must be text"),
        ("images", "file_name", "E:\\a.png", "a file of a Windows drive"),
        ("annotations", "area", "unknown", r"annotations\[0\] \(id 9\): area is the text 'unknown'"),
        ("annotations", "area", float("nan"), "area is nan, which is not finite"),
        ("annotations", "bbox", {"x": 1}, "bbox is {'x': 1}, but must be"),
        ("annotations", "bbox", [1, 2, 3, 10**400], "holds a number of more than 300 digits"),
        ("annotations", "category_id", [1], r"category_id is \[1\], but must be a whole number or text"),
        ("annotations", "image_id", {}, "image_id is {}"),
        ("categories", "id", "cat", r"categories\[0\] \(id 'cat'\): id is 'cat', but must be a whole number"),
        ("categories", "name", None, "name is null, but must be text"),
    ],
)
def test_fields_of_another_type_are_named(tmp_path, place, key, value, reason):
    def edit(content):
        content[place][0][key] = value

    with pytest.raises(DataError, match=reason):
        dataset(tmp_path, one(), edit=edit)


@pytest.mark.parametrize("place", ["images", "annotations", "categories"])
def test_entries_that_are_no_objects_and_missing_keys_are_named(tmp_path, place):
    key = "bbox" if place == "annotations" else "id"
    with pytest.raises(DataError, match=rf"{place}\[1\] is 7, but must be an object"):
        dataset(tmp_path, one(), edit=lambda content: content[place].insert(1, 7))
    with pytest.raises(DataError, match=rf"{place}\[0\].*: {key} is missing"):
        dataset(tmp_path / "2", one(), edit=lambda content: content[place][0].pop(key))


@pytest.mark.parametrize(
    "content, reason",
    [
        ("[" * 100_000, "nested too deep"),
        ('{"images": ' + "9" * 5000 + "}", "no valid json for a dataset"),
        ("{}", "list 'images' is missing or empty"),
        ('{"images": {"a": 1}}', "list 'images' is missing or empty"),
    ],
    ids=lambda value: repr(value)[:20],
)
def test_json_that_is_no_dataset_is_refused(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(DataError, match=reason):
        COCODataset(str(tmp_path), str(path))


def test_a_byte_order_mark_is_passed_over(tmp_path):
    folder, path = write_coco(tmp_path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    cv2.imwrite(str(folder / "more.png"), np.zeros((9, 9, 3), np.uint8))
    assert len(COCODataset(str(folder), str(path))) == 3
