"""ImageDataset: which images, which names, and its detections on whole images."""

from __future__ import annotations

import pickle

import cv2
import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.data import ImageDataset, RotatedRandomFlip, RotatedResize
from jld.data.dota import DOTA1_CLASSES, DOTA2_CLASSES
from jld.errors import ConfigError, DataError

PATCHES = ("P1__1.0__0___0", "P1__1.0__40___0", "P2__0.5__0___0")


@pytest.fixture
def folder(tmp_path):
    for number, name in enumerate(PATCHES):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((30, 40, 3), number, np.uint8))
    return tmp_path


def test_images_of_a_folder_or_of_a_list(folder):
    dataset = ImageDataset(str(folder), transforms=[RotatedResize(60, 80), RotatedRandomFlip(1.0)])
    assert dataset.image_ids == list(PATCHES) and dataset.classes == DOTA1_CLASSES
    assert dataset.layout.style == "jdet" and dataset.default_evaluator is None
    sample = dataset.get(2, np.random.default_rng(0))
    assert sample["image"].shape == (3, 60, 80) and sample["boxes"].shape == (0, 5)
    assert sample["img_id"] == PATCHES[2] and (sample["image"] == 2).all()
    (folder / "list.txt").write_text(f"{PATCHES[1]}.png\n")
    assert ImageDataset(str(folder), str(folder / "list.txt"), "DOTA2").classes == DOTA2_CLASSES
    for entries in ([{"filename": f"{PATCHES[1]}.png"}], [f"{PATCHES[1]}.png"]):
        (folder / "labels.pkl").write_bytes(pickle.dumps(entries))
        assert ImageDataset(str(folder), str(folder / "labels.pkl")).image_ids == [PATCHES[1]]
    (folder / "labels.pkl").write_bytes(pickle.dumps([3]))
    with pytest.raises(DataError, match="names no images"):
        ImageDataset(str(folder), str(folder / "labels.pkl"))


def test_equal_names_and_unknown_types_are_refused(folder):
    (folder / "more").mkdir()
    cv2.imwrite(str(folder / "more" / f"{PATCHES[0]}.png"), np.zeros((3, 4, 3), np.uint8))
    with pytest.raises(DataError, match=f"two images are called {PATCHES[0]}"):
        ImageDataset(str(folder))
    with pytest.raises(ConfigError, match="unknown dataset type 'DOTA3'"):
        ImageDataset(str(folder), dataset_type="DOTA3")


def test_detections_move_to_the_whole_images(folder):
    dataset = ImageDataset(str(folder))
    box = [20.0, 10.0, 12.0, 6.0, 0.0]
    shifted = [-20.0 + 1e-3, 10.0, 12.0, 6.0, 0.0]  # the same object seen from the second patch
    found = [
        Detections(name, [score], [0], rboxes=[each])
        for name, each, score in zip(PATCHES, (box, shifted, box), (0.5, 0.9, 0.7), strict=True)
    ]
    first, second = dataset.to_whole(found)
    assert (first["img_id"], second["img_id"]) == ("P1", "P2")
    assert first["scores"].tolist() == pytest.approx([0.9])
    np.testing.assert_allclose(second["polys"], [[28, 14, 52, 14, 52, 26, 28, 26]])
    whole = ImageDataset(str(folder), patch_style="whole").to_whole(found)
    assert [record["img_id"] for record in whole] == list(PATCHES)
    np.testing.assert_allclose(whole[0]["polys"], [[14, 7, 26, 7, 26, 13, 14, 13]])


def test_names_a_submission_cannot_hold_are_told(tmp_path):
    cv2.imwrite(str(tmp_path / "Harbour\u00a0North.png"), np.zeros((30, 40, 3), np.uint8))
    dataset = ImageDataset(str(tmp_path))
    (said,) = dataset.result_problems()
    assert "1 image cannot be named in a result file, the name holds a space" in said
    assert [(problem.severity, problem.message) for problem in dataset.problems] == [("warning", said)]
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((30, 40, 3), np.uint8))
    (tmp_path / "list.txt").write_text("a.png\n")
    dataset = ImageDataset(str(tmp_path), str(tmp_path / "list.txt"), classes=["a/b"])
    assert dataset.result_problems() == ["class 'a/b' cannot name a result file."]


def test_whole_images_with_names_of_patches_are_told_by_their_sizes(folder):
    assert "are taken for patches" in str(ImageDataset(str(folder)).problems[0])
    cv2.imwrite(str(folder / "P2__0.5__30___0.png"), np.zeros((30, 33, 3), np.uint8))
    with pytest.raises(DataError, match=r"is named like a patch of P2 at \(30, 0\), but is 33x30 px"):
        ImageDataset(str(folder))
    assert not ImageDataset(str(folder), patch_style="whole").problems


def test_lists_name_an_image_once(folder):
    (folder / "list.txt").write_text(f"{PATCHES[0]}.png\n./{PATCHES[0]}.png\n")
    with pytest.raises(DataError, match=r"name 2 is the file .* of name 1"):
        ImageDataset(str(folder), str(folder / "list.txt"))
