"""Detections as json files."""

import json

import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.data.results import (
    read_results,
    write_coco_results,
    write_plain_results,
)
from jld.errors import DataError

EXACT = (0, 0, 40, 40)
MASK = {"size": [40, 40], "counts": "0P1"}


def detected(img_id, boxes, scores, labels, **more):
    return Detections(img_id, scores, labels, boxes=boxes, **more)


def test_coco_result_file(tmp_path):
    found = [
        detected(42, [(1, 2, 11.5, 22)], [0.987654], [1]),
        detected(43, [], [], []),
        detected(7, [EXACT, EXACT], [0.5, 0.25], [0, 1]),
    ]
    path = write_coco_results(found, [1, 90], tmp_path / "results" / "bbox.json")
    assert json.loads(path.read_text()) == [
        {"image_id": 42, "category_id": 90, "bbox": [1.0, 2.0, 10.5, 20.0], "score": 0.98765},
        {"image_id": 7, "category_id": 1, "bbox": [0.0, 0.0, 40.0, 40.0], "score": 0.5},
        {"image_id": 7, "category_id": 90, "bbox": [0.0, 0.0, 40.0, 40.0], "score": 0.25},
    ]
    assert [file.name for file in path.parent.iterdir()] == ["bbox.json"]
    with pytest.raises(DataError, match="label 2, but there are 2 ids"):
        write_coco_results([detected(1, [EXACT], [0.9], [2])], [1, 90], path)
    with pytest.raises(DataError, match="image 7 has detections as polys, but COCO has upright boxes"):
        write_coco_results([Detections(7, [0.9], [0], polys=[range(8)])], [1], path)
    assert len(json.loads(path.read_text())) == 3


def test_masks_have_a_file_of_their_own(tmp_path):
    found = [detected(3, [EXACT], [0.5], [0], masks=[MASK]), detected(4, [], [], [])]
    path = tmp_path / "a.json"
    (coco,) = json.loads(write_coco_results(found, [9], path, what="segmentation").read_text())
    assert "bbox" not in coco and "segmentation" not in write_coco_results(found, [9], path).read_text()
    with pytest.raises(DataError, match="image 3 has detections without masks"):
        write_coco_results([detected(3, [EXACT], [0.5], [0])], [9], path, what="segmentation")
    assert json.loads(write_coco_results([], [9], path).read_text()) == []
    plain = json.loads(write_plain_results(found, ["a"], tmp_path / "b.json").read_text())
    assert coco["segmentation"] == MASK and plain["images"][0]["masks"] == [MASK]
    assert [each.masks for each in read_results(tmp_path / "b.json", ["a"])] == [[MASK], None]


def test_plain_file_keeps_its_keys_in_their_order(tmp_path):
    found = [
        detected("a", [(1, 2, 3, 4)], [0.5], [1]),
        Detections("b", [0.25], [0], rboxes=[[1, 2, 3, 4, 0.5]]),
        Detections("c", [0.125], [0], polys=[range(8)]),
    ]
    text = write_plain_results(found, ("x", "y"), tmp_path / "detections.json").read_text()
    assert text == (
        '{"classes": ["x", "y"], "images": [{"img_id": "a", "boxes": [[1, 2, 3, 4]], "scores": [0.5], '
        '"labels": [1]}, {"img_id": "b", "boxes": [[1.0, 2.0, 3.0, 4.0, 0.5]], "scores": [0.25], '
        '"labels": [0]}, {"img_id": "c", "polys": [[0, 1, 2, 3, 4, 5, 6, 7]], "scores": [0.125], '
        '"labels": [0]}]}'
    )


@pytest.mark.parametrize("form", ["boxes", "rboxes", "polys"])
def test_plain_results_are_read_back(tmp_path, form):
    shapes = np.arange({"boxes": 8, "rboxes": 10, "polys": 16}[form], dtype=np.float64).reshape(2, -1)
    found = [
        Detections("a", [0.5, 0.25], [1, 0], **{form: shapes}),
        Detections("b", [], [], **{form: shapes[:0]}),
    ]
    path = write_plain_results(found, ["x", "y"], tmp_path / "a.json")
    full, empty = read_results(path, ["x", "y"])
    assert full.img_id == "a" and full.labels.tolist() == [1, 0] and len(empty) == 0
    np.testing.assert_array_equal(getattr(full, form), shapes)
    with pytest.raises(DataError, match=r"has the classes \['x', 'y'\], and the data \['y', 'x'\]"):
        read_results(path, ["y", "x"])


def test_coco_results_are_read_back(tmp_path):
    found = [Detections(7, [0.5, 0.25], [1, 0], boxes=[[1, 2, 4, 6], [0, 0, 9, 8]])]
    path = write_coco_results(found, [3, 90], tmp_path / "a.json")
    (read,) = read_results(path, ["x", "y"], [3, 90])
    assert read.img_id == 7 and read.labels.tolist() == [1, 0]
    np.testing.assert_array_equal(read.boxes, found[0].boxes)
    for text in ("[1]", '{"images": []}', '[{"image_id": 1}]', '{"classes": ["x", "y"], "images": [3]}'):
        path.write_text(text)
        with pytest.raises(DataError, match="neither detections of jld nor a COCO result file"):
            read_results(path, ["x", "y"], [3, 90])


@pytest.mark.parametrize("form, width", [("boxes", 4), ("rboxes", 5), ("polys", 8)])
@pytest.mark.parametrize("ids", [["a", "b", "c"], [7, 3, 5]])
def test_plain_results_are_read_back_bit_for_bit(tmp_path, form, width, ids):
    rng = np.random.default_rng(0)
    detections = [
        Detections(
            img_id,
            rng.random(count),
            rng.integers(0, 3, count),
            **{form: rng.random((count, width)).astype(np.float32)},
        )
        for img_id, count in zip(ids, (2, 0, 3), strict=True)
    ]
    back = read_results(write_plain_results(detections, "xyz", tmp_path / "found.json"), "xyz")
    assert [each.img_id for each in back] == ids and {each.form for each in back if len(each)} == {form}
    for found, again in zip(detections, back, strict=True):
        for key in ("scores", "labels"):
            np.testing.assert_array_equal(getattr(found, key), getattr(again, key))
        if len(found):
            np.testing.assert_array_equal(found.shapes, again.shapes)
    assert read_results(write_plain_results([], "xyz", tmp_path / "none.json"), "xyz") == []
