"""DOTADataset on the three layouts it reads, the layout of patches, whole-image ground truth."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path

import cv2
import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.boxes.rotated import pairwise_poly_iou, polys_to_rboxes
from jld.data import DOTADataset, DrawnOrientedDataset, Resize, check_dataset, collate
from jld.data.aerial_shapes import KINDS
from jld.data.dota import (
    PolyAnnotation,
    SplitSettings,
    find_images,
    split_dataset,
    write_jdet_labels,
    write_label_file,
)
from jld.data.dota.classes import DIOR_CLASSES, DOTA1_5_CLASSES, DOTA1_CLASSES, SHIP_CLASSES
from jld.data.dota.jdet_labels import jdet_entry
from jld.data.dota.layout import Layout, detect_style
from jld.errors import ConfigError, DataError
from tests.real_data import real_dataset
from tests.tiny_data import write_dota

RNG = np.random.default_rng(0)
SQUARE = [10, 10, 50, 30, 40, 50, 0, 30]  # the quadrilateral of a published example, 25 px aside
POLYS = [SQUARE, [20, 20, 60, 20, 60, 32, 20, 32], [5, 60, 35, 60, 35, 66, 5, 66]]
NAMES, FLAGS = ("ship", "plane", "ship"), (0, 1, 2)


def write_images(folder: Path, *stems: str, size=(80, 70)) -> None:
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, stem in enumerate(stems):
        cv2.imwrite(
            str(folder / "images" / f"{stem}.png"), np.full((size[1], size[0], 3), 10 * number, np.uint8)
        )


def write_txt(folder: Path, annotations: dict[str, PolyAnnotation], labels="labelTxt", **options) -> Path:
    write_images(folder, *annotations, **options)
    (folder / labels).mkdir()
    for stem, annotation in annotations.items():
        write_label_file(folder / labels / f"{stem}.txt", annotation, header=False)
    return folder


def three_objects() -> PolyAnnotation:
    return PolyAnnotation.of(POLYS, NAMES, FLAGS)


def write_pkl(folder: Path, classes=DOTA1_CLASSES) -> Path:
    write_images(folder, "a", "b")
    entries = [jdet_entry("a.png", 80, 70, three_objects(), classes)]
    entries.append(jdet_entry("b.png", 80, 70, PolyAnnotation.of([], []), classes))
    write_jdet_labels(folder / "labels.pkl", entries)
    return folder


@pytest.mark.parametrize("version", ["oc", "le90", "le135"])
def test_label_files_become_samples(tmp_path, version):
    folder = write_txt(tmp_path, {"a": three_objects(), "b": PolyAnnotation.of([], [])})
    dataset = DOTADataset(str(folder), angle_version=version, filter_empty_gt=False)
    assert (
        dataset.classes == DOTA1_CLASSES and dataset.image_ids == ["a", "b"] and not dataset.has_whole_labels
    )
    sample = dataset.get(0, RNG)
    expected = polys_to_rboxes(np.array(POLYS, np.float64), version)
    np.testing.assert_allclose(sample["boxes"], expected[:1], atol=1e-4)
    np.testing.assert_allclose(sample["boxes_ignore"], expected[1:], atol=1e-4)
    assert sample["labels"].tolist() == [6] and sample["angle_version"] == version
    assert sample["image"].shape == (3, 70, 80) and sample["img_id"] == "a"
    empty = dataset.get(1, RNG)
    assert empty["boxes"].shape == (0, 5) == empty["boxes_ignore"].shape
    batch = collate([sample, empty])
    assert batch["boxes"].shape == (2, 8, 5) and batch["box_mask"].sum() == 1
    truth = dataset.ground_truth()[0]
    np.testing.assert_array_equal(truth["polys"], POLYS)
    np.testing.assert_array_equal(truth["boxes"][0], [0, 10, 50, 50])
    assert truth["is_difficult"].tolist() == [False, True, True] and truth["difficult"].tolist() == [0, 1, 2]
    assert (truth["width"], truth["height"]) == (80, 70)


def test_a_published_quadrilateral(tmp_path):
    dataset = DOTADataset(str(write_txt(tmp_path, {"a": PolyAnnotation.of([SQUARE], ["ship"])})))
    # centre 25, 30, edges 44.72136 and 22.36068, angle .463648: mmRotate and JDet agree on it
    expected = [25, 30, 44.72136, 22.36068, 0.463648]
    np.testing.assert_allclose(dataset.get(0, RNG)["boxes"], [expected], atol=2e-5)


def test_labels_of_mmrotate_are_all_trained(tmp_path):
    folder = write_txt(tmp_path, {"a": three_objects()}, labels="annfiles")
    dataset = DOTADataset(str(folder), angle_version="oc")
    sample = dataset.get(0, RNG)
    assert sample["labels"].tolist() == [6, 0, 6] and len(sample["boxes_ignore"]) == 0
    assert dataset.ground_truth()[0]["is_difficult"].tolist() == [False, True, False]
    ignoring = DOTADataset(str(folder), angle_version="oc", difficult="ignore")
    assert ignoring.get(0, RNG)["labels"].tolist() == [6]


@pytest.mark.parametrize("version", ["le135", "le90", "oc"])
def test_labels_of_jdet(tmp_path, version):
    dataset = DOTADataset(str(write_pkl(tmp_path)), angle_version=version, filter_empty_gt=False)
    assert dataset.image_ids == ["a", "b"] and dataset.angle_version == version
    sample = dataset.get(0, RNG)
    assert sample["labels"].tolist() == [6] and len(sample["boxes"]) == len(sample["boxes_ignore"]) == 1
    truth = dataset.ground_truth()[0]
    assert truth["difficult"].tolist() == [0, 1]  # flag 2 is not in the file
    # the same rectangles, whatever the version: here a parallelogram, of which le135 keeps the edges
    np.testing.assert_allclose(
        np.diag(pairwise_poly_iou(truth["polys"], np.array(POLYS[:2]))), [1, 1], atol=1e-4
    )
    assert [len(DOTADataset(str(tmp_path), times=2)), len(dataset)] == [2, 2]


def test_images_and_annotations_given_apart(tmp_path):
    folder = write_txt(tmp_path, {"a": three_objects()})
    images = str(folder / "images")
    one = DOTADataset(images_dir=images, annotations_file=str(folder / "labelTxt"))
    assert one.image_ids == ["a"]
    with pytest.raises(ConfigError, match="needs dataset_dir, or images_dir and annotations_file"):
        DOTADataset(images_dir=images)
    with pytest.raises(ConfigError, match="needs dataset_dir"):
        DOTADataset(str(folder), images, str(folder / "labelTxt"))
    with pytest.raises(DataError, match=r"holds none of annfiles, labels.pkl, labelTxt"):
        write_images(tmp_path / "bare", "a")
        DOTADataset(str(tmp_path / "bare"))
    with pytest.raises(DataError, match=r"tools/preprocess.py makes it"):
        DOTADataset(str(tmp_path / "none"))


def test_versions_name_the_classes(tmp_path):
    folder = write_txt(tmp_path, {"a": PolyAnnotation.of([SQUARE], ["ship"])})
    expected = {"1": DOTA1_CLASSES, "1_5": DOTA1_5_CLASSES, "SSDD": SHIP_CLASSES, "DIOR-R": DIOR_CLASSES}
    for version, classes in expected.items():
        assert DOTADataset(str(folder), version=version).classes == classes
    assert DOTADataset(str(folder), version="SSDD").get(0, RNG)["labels"].tolist() == [0]
    with pytest.raises(ConfigError, match=r"knows no version '1\.5': did you mean '1_5'"):
        DOTADataset(str(folder), version="1.5")
    wanted = DOTADataset(str(write_txt(tmp_path / "2", {"a": three_objects()})), classes=["plane"])
    assert wanted.classes == ("plane",) and wanted.ground_truth()[0]["labels"].tolist() == [0]


def test_every_unusable_line_is_named_at_once(tmp_path):
    folder = write_txt(tmp_path, {"a": three_objects(), "b": three_objects()})
    (folder / "labelTxt" / "a.txt").write_text("1 2 3 4 5 6 7 8 shipp 0\n1 2 3\n")
    (folder / "labelTxt" / "b.txt").unlink()
    (folder / "labelTxt" / "c.txt").write_text("")
    with pytest.raises(DataError) as caught:
        DOTADataset(str(folder))
    for said in (
        "a.txt:1: class 'shipp'",
        "did you mean 'ship'",
        "a.txt:2: has 3 words",
        "b.png",
        "c.txt: has no image",
    ):
        assert said in str(caught.value)
    lenient = DOTADataset(str(folder), strict=False, filter_empty_gt=False)
    assert len(lenient.problems) == 4 and lenient.image_ids == ["a"]
    assert len(check_dataset(lenient)) == 4


def test_doubtful_objects_are_counted_by_kind(tmp_path):
    bow_tie = [10, 10, 40, 40, 40, 10, 10, 40]
    polys = [SQUARE, SQUARE, [1, 1, 30, 1, 30, 2, 1, 2], [100, 100, 120, 100, 120, 110, 100, 110], bow_tie]
    dataset = DOTADataset(str(write_txt(tmp_path, {"a": PolyAnnotation.of(polys, ["ship"] * 5)})))
    said = "\n".join(map(str, dataset.problems))
    for text in (
        "holds 1 object less than 2 px wide or high",
        "holds 1 object outside of their image",
        "holds 1 object with corners that do not go round a convex shape",
        "holds 1 object that repeat another one",
    ):
        assert text in said
    assert "first: image a, corners" in said and len(dataset.problems) == 4
    assert len(dataset.get(0, RNG)["boxes"]) == 3 and len(dataset.ground_truth()[0]["labels"]) == 5


def test_angles_in_degrees_are_refused(tmp_path):
    folder = write_pkl(tmp_path)
    entries = pickle.loads((folder / "labels.pkl").read_bytes())
    entries[0]["ann"]["bboxes"][:, 4] = 45
    write_jdet_labels(folder / "labels.pkl", entries)
    with pytest.raises(DataError, match=r"a\.png has angles that are no radians"):
        DOTADataset(str(folder))


def test_upright_transforms_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"transforms\.0 is Resize, .* use RotatedResize"):
        DOTADataset(str(write_pkl(tmp_path)), transforms=[Resize()])


def test_filters_and_repetition(tmp_path):
    helicopter, plane = (PolyAnnotation.of([SQUARE], [name]) for name in ("helicopter", "plane"))
    annotations = {
        "a": helicopter,
        "b": plane,
        "c": PolyAnnotation.of([], []),
        "d": PolyAnnotation.of([SQUARE], ["storage-tank"]),
    }
    folder = write_txt(tmp_path, annotations)
    assert DOTADataset(str(folder)).image_ids == ["a", "b", "d"]
    with pytest.raises(DataError, match="none of its 4 images"):
        DOTADataset(str(folder), filter_min_size=75)
    balanced = DOTADataset(str(folder), balance_category=True)
    # helicopters eight times, storage tanks once and the first 526 again
    assert [balanced.image_ids.count(name) for name in "abcd"] == [8, 1, 0, 2]
    assert {balanced.get(index, RNG)["labels"].tolist()[0] for index in range(len(balanced))} == {14, 0, 9}


def test_patch_styles_are_told_apart():
    assert detect_style(["P1__1.0__0___0", "P1__0.5__0___0"]) == "jdet"
    assert detect_style(["P1__1024__0___0", "P1__2048__824___0"]) == "mmrotate"
    assert detect_style(["P1", "a__b"]) == "whole" == detect_style([])
    with pytest.raises(DataError, match=r"P1__1\.0__0___0 is named like a patch and P2 is not"):
        detect_style(["P2", "P1__1.0__0___0"])
    layout = Layout.of(["P1__1.0__0___0"], ["ship"])
    assert layout.whole_id("P1__1.0__0___0") == "P1" and layout.is_patches
    assert not Layout.of(["P1__1.0__0___0"], ["ship"], "whole").is_patches
    with pytest.raises(ConfigError, match="unknown patch style"):
        Layout.of(["P1__1.0__0___0"], ["ship"], "jdett")


@pytest.mark.parametrize("style", ["jdet", "mmrotate"])
def test_patches_find_the_labels_of_their_images(tmp_path, style):
    drawn = DrawnOrientedDataset("val", 3, (140, 180), seed=5)
    source = write_dota(tmp_path / "source" / "val", drawn)
    settings = SplitSettings(96, 32, style=style, keep_empty=True)
    target = tmp_path / "patches"
    split_dataset(find_images([source]), target, settings, classes=KINDS)
    patches = DOTADataset(str(target), classes=list(KINDS), filter_empty_gt=False)
    assert patches.layout.style == style and patches.has_whole_labels and len(patches) == 3 * 6
    whole = patches.whole_ground_truth(["val_000001"])[0]
    np.testing.assert_allclose(whole["polys"], drawn.ground_truth()[1]["polys"])
    detections = [
        Detections(
            truth["img_id"], np.full(len(truth["labels"]), 0.9), truth["labels"], rboxes=truth["rboxes"]
        )
        for truth in patches.ground_truth()
    ]
    merged = patches.to_whole(detections)
    found = {record["img_id"]: record for record in merged}
    truths = patches.whole_ground_truth(sorted(found))
    for truth in truths:
        overlaps = pairwise_poly_iou(truth["polys"], found[truth["img_id"]]["polys"])
        # JDet's patches cut coordinates to whole pixels, of objects a few pixels wide
        assert (overlaps.max(axis=1) > (0.45 if style == "jdet" else 0.95)).all()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    with pytest.raises(DataError, match="has no label file of the whole image val_000000"):
        DOTADataset(str(target), classes=list(KINDS), whole_labels=str(elsewhere))
    (target / "manifest.json").write_text(json.dumps({"label_folders": [str(tmp_path / "gone")]}))
    assert not DOTADataset(str(target), classes=list(KINDS)).has_whole_labels


def test_real_images_in_whole_and_in_patches(tmp_path):
    source = real_dataset("dota_sample")
    whole = DOTADataset(str(source))
    assert whole.image_ids == ["P0706", "P1888"] and whole.layout.style == "whole"
    counts = np.bincount(whole.table.labels[whole.table.flags == 0], minlength=15)
    expected = {"ship": 525, "harbor": 5, "large-vehicle": 50, "small-vehicle": 14}
    assert {DOTA1_CLASSES[label]: counts[label] for label in np.flatnonzero(counts)} == expected
    assert (whole.table.flags == 1).sum() == 6 and len(whole.get(0, RNG)["boxes_ignore"]) <= 6
    assert not [problem for problem in check_dataset(whole) if problem.severity == "error"]
    split_dataset(
        find_images([source]), tmp_path / "patches", SplitSettings(1024, 200), classes=DOTA1_CLASSES
    )
    patches = DOTADataset(str(tmp_path / "patches"))
    assert len(patches) == 5 and patches.has_whole_labels and patches.layout.style == "jdet"
    angles = patches.table.boxes[:, 4]
    assert (angles >= -math.pi / 4 - 1e-6).all() and (angles < 3 * math.pi / 4 + 1e-6).all()
    truth = patches.whole_ground_truth(["P0706"])[0]
    assert len(truth["labels"]) == 536


def test_objects_of_other_classes_are_passed_over_with_a_word(tmp_path):
    folder = write_txt(tmp_path, {"a": three_objects()})
    (said,) = DOTADataset(str(folder), classes=["ship", "harbor"]).problems
    assert "passes over 1 objects of classes that are not wanted: 'plane' (1)" in str(said)
    with pytest.raises(DataError, match=r"no object of the class 'planes', but 1 of 'plane' .*did you mean"):
        DOTADataset(str(folder), classes=["ship", "planes"])
    with pytest.raises(DataError, match="no object of the classes bridge; its objects are 'ship' "):
        DOTADataset(str(folder), classes=["bridge"], filter_empty_gt=False)


@pytest.mark.parametrize("far", [1e9, -1000])
def test_corners_far_from_the_image_are_refused(tmp_path, far):
    polys = [SQUARE, [far, 10, 50, 30, 40, 50, 0, 30]]
    folder = write_txt(tmp_path, {"a": PolyAnnotation.of(polys, ["ship"] * 2)})
    with pytest.raises(DataError, match="1 object with a corner further outside of their image than"):
        DOTADataset(str(folder))
    assert len(DOTADataset(str(folder), strict=False).get(0, RNG)["boxes"]) == 1


def test_fractions_of_the_image_are_refused(tmp_path):
    folder = write_txt(tmp_path, {"a": PolyAnnotation.of([np.array(SQUARE) / 80], ["ship"])})
    with pytest.raises(DataError, match="1 objects whose corners all lie between 0 and 1"):
        DOTADataset(str(folder))


def test_two_images_of_one_name_are_refused(tmp_path):
    folder = write_txt(tmp_path, {"a": three_objects()})
    cv2.imwrite(str(folder / "images/a.jpg"), np.zeros((70, 80, 3), np.uint8))
    with pytest.raises(DataError, match=r"a\.png: has the same name as a\.jpg"):
        DOTADataset(str(folder))
    entries = [jdet_entry("a.png", 80, 70, three_objects(), DOTA1_CLASSES)] * 2
    write_jdet_labels(folder / "labels.pkl", entries)
    with pytest.raises(DataError, match=r"entry 1 is the file a\.png of entry 0"):
        DOTADataset(str(folder))


def test_names_that_look_like_patches_are_said_or_refused(tmp_path):
    ship = PolyAnnotation.of([SQUARE], ["ship"])
    names = ("scan__1.0__0___0", "scan__1.0__12___7")
    (said,) = DOTADataset(str(write_txt(tmp_path / "a", dict.fromkeys(names, ship)))).problems
    assert (
        "scan__1.0__0___0 is the part of scan at (0, 0); for whole images write patch_style='whole'"
        in str(said)
    )
    folder = write_txt(tmp_path / "b", dict.fromkeys(names, ship))
    cv2.imwrite(str(folder / f"images/{names[1]}.png"), np.zeros((70, 60, 3), np.uint8))
    with pytest.raises(
        DataError, match=r"named like a patch of scan at \(12, 7\), but is 60x70 px, where a window"
    ):
        DOTADataset(str(folder))
    for style in ("whole", "jdet"):
        assert not DOTADataset(str(folder), patch_style=style).problems


def test_names_a_result_cannot_hold_are_named_before_anything_is_detected(tmp_path):
    dataset = DOTADataset(str(write_txt(tmp_path, {"pier 7": three_objects()})))
    assert [problem.severity for problem in dataset.problems] == ["warning"]  # training does without results
    assert dataset.result_problems() == [
        "1 image cannot be named in a result file, the name holds a space: 'pier 7'."
    ]
    named = DOTADataset(str(write_txt(tmp_path / "2", {"pier_7": three_objects()})))
    assert named.result_problems() == []


def test_label_files_in_another_encoding_are_listed_with_the_rest(tmp_path):
    folder = write_txt(tmp_path, {"a": three_objects(), "b": three_objects(), "c": three_objects()})
    for name in ("a", "b"):
        (folder / f"labelTxt/{name}.txt").write_bytes("imagesource:图像\n".encode("gbk"))
    with pytest.raises(
        DataError, match=r"has 2 problems(.|\n)*a\.txt: label file is not in the encoding UTF-8"
    ):
        DOTADataset(str(folder))
    assert DOTADataset(str(folder), strict=False).image_ids == ["c"]
