from __future__ import annotations

import cv2
import numpy as np
import pytest

from jld.data import COCODataset, DrawnDataset, ImageFolder, VOCDataset, check_dataset, require_sound
from jld.errors import DataError
from tests.tiny_data import TINY_CLASSES, write_coco


def test_sound_datasets_have_no_findings(coco_folder, voc_folder):
    datasets = (
        COCODataset(*map(str, coco_folder), filter_empty_gt=False),
        VOCDataset(str(voc_folder), classes=TINY_CLASSES, times=2),
        ImageFolder(str(coco_folder[0])),
        DrawnDataset(num_images=3),
    )
    assert [check_dataset(dataset) for dataset in datasets] == [[]] * 4


def test_missing_images_and_wrong_sizes_are_found_without_decoding(coco_folder):
    folder, path = coco_folder
    dataset = COCODataset(str(folder), str(path), filter_empty_gt=False, times=2)
    (folder / "001.png").unlink()
    cv2.imwrite(str(folder / "002.png"), np.zeros((20, 30, 3), np.uint8))
    (folder / "003.png").write_text("text")
    found = [(problem.severity, str(problem)) for problem in check_dataset(dataset)]
    assert found == [
        ("error", f"{folder / '001.png'}: image file does not exist."),
        ("warning", f"{folder / '002.png'}: is 30x20 px, but its annotation says 50x50 (width x height)."),
        (
            "warning",
            f"{folder / '003.png'}: is passed over in training, no image format that is read here "
            "(JPEG, PNG, TIFF, WebP, BMP).",
        ),
    ]
    with pytest.raises(DataError, match="train data has 1 problem that must be mended"):
        require_sound(dataset, "train data")


def test_errors_stand_before_warnings_and_sound_data_returns_warnings(tmp_path):
    folder, path = write_coco(
        tmp_path, [((60, 40), [("cat", 5, 5, 70, 30)]), ((60, 40), [("cat", 5, 5, 5, 30)])]
    )
    dataset = COCODataset(str(folder), str(path))
    assert [problem.severity for problem in require_sound(dataset, "data")] == ["warning"] * 2
    (folder / "001.png").unlink()
    assert [problem.severity for problem in check_dataset(dataset)] == ["error", "warning", "warning"]


def test_objects_that_are_there_twice_are_named(tmp_path):
    twice, other = ("cat", 5, 5, 30, 30), ("dog", 5, 5, 30, 30)
    folder, path = write_coco(tmp_path, [((60, 40), [other, twice]), ((60, 40), [twice, other, twice])])
    (found,) = require_sound(COCODataset(str(folder), str(path), times=3), "data")
    assert found.message == (
        "1 objects repeat another one of the same image and class (first: image 101, "
        "box [5.0, 5.0, 30.0, 30.0])."
    )


def test_a_missing_folder_is_one_error_per_image(coco_folder):
    folder, path = coco_folder
    dataset = COCODataset(str(folder.parent / "elsewhere"), str(path))
    assert len(check_dataset(dataset)) == 3
