"""Merging patches, flips and scales."""

import time
from dataclasses import replace

import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.boxes.rotated import flip_polys, polys_to_rboxes, rboxes_to_polys
from jld.config.jdet.keys import CLASS_IOU
from jld.data.dota import (
    DOTA2_CLASSES,
    SplitSettings,
    cut_image,
    merge_patches,
    merge_views,
    merge_windows,
    unflip_detections,
)
from jld.data.dota.labels import PolyAnnotation
from jld.errors import ConfigError, DataError

CLASSES = ("plane", "ship")


def square(x, y, side=10.0):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def found(img_id, polys, scores, labels):
    return Detections(img_id, scores, labels, polys=np.array(polys, np.float32).reshape(-1, 8))


def test_overlapping_patches_give_each_object_once():
    patches = [
        found("P1__1.0__0___0", [square(90, 10), square(5, 5)], [0.8, 0.3], [0, 1]),
        found("P1__1.0__80___0", [square(10, 10)], [0.9], [0]),
        found("P2__1.0__0___0", [square(90, 10)], [0.7], [0]),
    ]
    first, second, third = merge_patches(patches, CLASSES, image_ids=["P1", "P2", "P3"])
    assert first["scores"].tolist() == pytest.approx([0.9, 0.3]) and first["labels"].tolist() == [0, 1]
    np.testing.assert_array_equal(first["polys"], [square(90, 10), square(5, 5)])
    assert second["scores"].tolist() == pytest.approx([0.7])
    assert third["img_id"] == "P3" and third["polys"].shape == (0, 8) and third["labels"].dtype == np.int64


def test_classes_do_not_suppress_each_other():
    (merged,) = merge_patches([found("P1__1.0__0___0", [square(0, 0)] * 2, [0.9, 0.8], [0, 1])], CLASSES)
    assert merged["labels"].tolist() == [0, 1]


def test_rates_are_divided_out_but_window_sizes_are_not():
    half = found("P1__0.5__40___20", [square(10, 10)], [0.9], [0])
    np.testing.assert_allclose(merge_patches([half], CLASSES)[0]["polys"], [square(100, 60, 20)])
    window = found("P1__1024__40___20", [square(10, 10)], [0.9], [0])
    np.testing.assert_allclose(
        merge_patches([window], CLASSES, style="mmrotate")[0]["polys"], [square(50, 30)]
    )
    with pytest.raises(DataError, match="mmrotate"):
        merge_patches([window], CLASSES)


@pytest.mark.parametrize("style", ["jdet", "mmrotate"])
def test_cut_objects_merge_back_to_where_they_were(style):
    """The splitter and the merger are each other's inverse, over several scales."""
    rng = np.random.default_rng(1)
    rboxes = np.column_stack(
        [rng.uniform(20, 230, (12, 2)), rng.uniform(6, 9, (12, 2)), rng.uniform(0, 3, 12)]
    )
    rboxes[:, :2] = np.stack(np.meshgrid(range(30, 240, 60), range(30, 210, 60)), -1).reshape(-1, 2)
    polys = rboxes_to_polys(rboxes)
    annotation = PolyAnnotation.of(polys, ["plane"] * len(polys))
    settings = SplitSettings(subimage_size=100, overlap_size=40, multi_scale=(1.0, 2.0), style=style)
    image = np.zeros((220, 250, 3), np.uint8)
    patches = []
    for patch in cut_image(image, annotation, "P1", settings):
        whole = patch.annotation.select(patch.annotation.difficult == 0)
        patches.append(found(patch.name, whole.polys, np.full(len(whole), 0.9), np.zeros(len(whole))))
    (merged,) = merge_patches(patches, CLASSES, style=style)
    assert len(merged["scores"]) == len(polys)
    ours = polys_to_rboxes(merged["polys"], "le90")[:, :2]
    np.testing.assert_allclose(
        np.sort(ours, 0), np.sort(rboxes[:, :2], 0), atol=1.0
    )  # whole pixels in "jdet"


def test_flipped_views_come_back_and_merge():
    image_size = (100, 200)
    straight = [found("P1", [square(10, 20)], [0.6], [0])]
    views = [straight]
    for score, (flip, direction) in enumerate({"H": "horizontal", "V": "vertical", "HV": "diagonal"}.items()):
        mirrored = flip_polys(np.array([square(10, 20)]), direction, image_size)
        rboxes = polys_to_rboxes(mirrored, "le90")
        view = [Detections("P1", [0.7 + score / 10], [0], rboxes=rboxes)]
        (back,) = unflip_detections(view, flip, {"P1": image_size})
        np.testing.assert_allclose(
            polys_to_rboxes(back["polys"], "le90")[:, :4],
            polys_to_rboxes(straight[0]["polys"], "le90")[:, :4],
            atol=1e-4,
        )
        views.append([back])
    (merged,) = merge_views(views, CLASSES)
    assert merged["scores"].tolist() == pytest.approx([0.9])
    with pytest.raises(ConfigError, match="'D'"):
        unflip_detections(straight, "D", {"P1": image_size})


def test_thresholds_per_class():
    assert set(CLASS_IOU) == set(DOTA2_CLASSES)
    overlapping = [square(0, 0), square(6, 0)]  # overlap 4 / 16
    patches = [found("P1__1.0__0___0", overlapping * 2, [0.9, 0.8, 0.7, 0.6], [0, 0, 1, 1])]
    (merged,) = merge_patches(patches, CLASSES, iou_threshold=CLASS_IOU)
    assert merged["labels"].tolist() == [0, 0, 1]
    with pytest.raises(ConfigError, match="tree"):
        merge_patches(patches, ("plane", "tree"), iou_threshold=CLASS_IOU)


def test_nothing_found():
    assert merge_patches([], CLASSES) == []
    (merged,) = merge_patches([found("P1__1.0__0___0", [], [], [])], CLASSES)
    assert merged["polys"].shape == (0, 8) and merged["scores"].shape == (0,)


@pytest.mark.slow
def test_a_hundred_thousand_detections_merge_in_seconds():
    rng = np.random.default_rng(0)
    patches = []
    for number in range(1000):
        rboxes = np.column_stack(
            [rng.uniform(0, 1024, (100, 2)), rng.uniform(10, 80, (100, 2)), rng.uniform(-1.5, 1.5, 100)]
        )
        place = f"P{number // 10:04d}__1.0__{number % 10 * 824}___0"
        patches.append(Detections(place, rng.random(100), rng.integers(0, 15, 100), rboxes=rboxes))
    start = time.process_time()
    merged = merge_patches(patches, DOTA2_CLASSES)
    assert time.process_time() - start < 20
    assert 50_000 < sum(len(record["scores"]) for record in merged) < 100_000


@pytest.mark.parametrize("form", ["boxes", "rboxes", "polys"])
def test_windows_of_one_image_are_joined_in_their_form(form):
    shape = {"boxes": [2, 3, 12, 9], "rboxes": [7, 6, 10, 6, 0.3], "polys": [2, 3, 12, 3, 12, 9, 2, 9]}[form]
    step = {"boxes": [50, 10] * 2, "rboxes": [50, 10, 0, 0, 0], "polys": [50, 10] * 4}[form]
    windows = np.array([[50, 10, 80, 40], [52, 10, 82, 40]])
    near = np.array(shape) - np.array(step) * ([0.04, 0] * 4)[: len(step)]  # 2 px left: the same place
    if form == "rboxes":
        near[2:] = shape[2:]
    first = Detections("w0", [0.5], [1], **{form: np.array([shape], np.float32)})
    second = Detections("w1", [0.9, 0.3], [1, 0], **{form: np.array([near, near], np.float32)})
    found = merge_windows([first, second], windows, "whole", 0.5)
    assert found.img_id == "whole" and found.form == form
    assert found.scores.tolist() == pytest.approx([0.9, 0.3]) and found.labels.tolist() == [1, 0]
    np.testing.assert_allclose(found.shapes, [np.array(shape) + step] * 2, atol=1e-5)
    with pytest.raises(DataError, match="masks found in windows"):
        merge_windows([replace(first, masks=[{}])], windows[:1], "whole", 0.5)
