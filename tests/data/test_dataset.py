"""What every dataset gives a run, and the start of one for smoke runs."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.data import COCODataset, DataLoader, Dataset, DrawnDataset, DrawnOrientedDataset, ImageFolder
from jld.data.classes import COCO_CLASSES, VOC_CLASSES
from jld.data.dota import DOTA1_CLASSES, Views
from jld.data.dota_dataset import DOTADataset
from jld.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("with_masks", [False, True])
def test_a_fingerprint_is_that_of_the_data_in_every_process(tmp_path, with_masks):
    image = {"id": 1, "file_name": "a.png", "width": 60, "height": 50}
    shape = [[5, 5, 30, 5, 30, 40]]
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 25, 35], "segmentation": shape}
    content = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "cat"}]}
    file = tmp_path / "a.json"

    def made():
        file.write_text(json.dumps(content))
        return COCODataset(str(tmp_path), str(file), with_masks=with_masks).fingerprint()

    first = made()
    code = f"COCODataset({str(tmp_path)!r}, {str(file)!r}, with_masks={with_masks}).fingerprint()"
    command = [sys.executable, "-c", f"from jld.data import COCODataset; print({code})"]
    assert subprocess.check_output(command, cwd=ROOT, text=True).strip() == first
    shape[0][-1] = 39
    assert (made() == first) != with_masks
    (tmp_path / "a.png").write_bytes(b"pixels")
    assert made() != first


def evaluator(detections, ground_truth, classes):
    """Which images it was asked about."""
    return {
        "AP": 0.5,
        "found": [each.img_id for each in detections],
        "truth": [t["img_id"] for t in ground_truth],
    }


@pytest.mark.parametrize("kind", [DrawnDataset, DrawnOrientedDataset])
def test_the_start_of_a_dataset_is_a_dataset(kind):
    dataset = kind(num_images=9, image_size=(32, 48))
    part = dataset.first(4)
    assert len(part) == 4 and part.image_ids == [0, 1, 2, 3] and part.classes == dataset.classes
    np.testing.assert_array_equal(part.image_sizes(), [[32, 48]] * 4)
    np.testing.assert_array_equal(part.read_image(3), dataset.read_image(3))
    detections = [Detections(img_id, [], [], boxes=[]) for img_id in part.image_ids]
    metrics, whole = part.score(detections, evaluator)
    assert metrics["truth"] == metrics["found"] == [0, 1, 2, 3] and whole is detections
    assert len(dataset.first(50)) == len(dataset) == 9


def test_repeated_images_fill_the_start():
    dataset = DrawnDataset(num_images=3, image_size=32, times=5)
    assert [len(dataset.first(count)) for count in (2, 3, 7, 99)] == [2, 3, 6, 15]


def test_the_start_reaches_workers():
    part = DrawnDataset(num_images=9, image_size=32).first(4)
    assert len(pickle.loads(pickle.dumps(part))) == 4
    loader = DataLoader(part, batch_size=4, num_workers=1, shuffle=True)
    assert sorted(next(loader.epoch(0))["img_ids"]) == [0, 1, 2, 3]
    loader.close()


def test_a_folder_is_looked_at_by_any_detector_and_learned_from_by_none(tmp_path):
    for name in "abc":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((4, 5, 3), 7, np.uint8))
    folder = ImageFolder(str(tmp_path))
    assert folder.num_sides is None and not folder.is_labelled and DrawnDataset(num_images=1).is_labelled
    assert folder.first(2).image_ids == ["a.png", "b.png"] and len(folder) == 3
    assert (folder.first(2).read_image(1) == 7).all()


def test_views_that_cannot_be_joined_are_refused():
    dataset = DrawnDataset(num_images=1)
    assert dataset.views() is None and dataset.views(["HV"], 0.5, [2.0]) == Views(("HV",), 0.5, (2.0,))
    with pytest.raises(ConfigError, match=r"merge_iou_threshold=0.3 joins .* DrawnDataset shows each image"):
        dataset.views([], 0.3)
    for scales in ([0.0], [1.0, 2.0], [float("nan")], [-1]):
        with pytest.raises(ConfigError, match=r"scale_test=.*: write factors above 0 other than 1"):
            dataset.views([], None, scales)
    with pytest.raises(ConfigError, match=r"merge_iou_threshold has no threshold for .*pier"):
        DrawnOrientedDataset(num_images=1).views([], {"ship": 0.2})
    with pytest.raises(ConfigError, match="Dataset cannot be shortened for a dry run"):
        Dataset().first(3)


class Named(DOTADataset):
    """Only names."""

    def __init__(self, classes):
        self.classes = classes


def test_benchmarks_are_told_by_their_classes():
    named = Dataset()
    for classes, name in (
        (COCO_CLASSES, "COCO"),
        (VOC_CLASSES[::-1], "VOC"),
        (COCO_CLASSES[1:], None),
        ((), None),
    ):
        named.classes = classes
        assert named.benchmark == name
    assert Named(DOTA1_CLASSES).benchmark == "DOTA-1.0" and Named(DOTA1_CLASSES[2:]).benchmark is None
