"""Detections with names and image: files, crops, COCO's entries against values by hand."""

import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

from jld.apis.prediction import Prediction
from jld.boxes.detections import Detections
from jld.boxes.rotated import rboxes_to_polys
from jld.data import ImageReader
from jld.data.classes import COCO_CLASSES
from jld.errors import ConfigError, DataError

DETECTOR = SimpleNamespace(classes=("cat", "big dog"), image_reader=ImageReader())
BOXES = np.array([[10, 5, 30, 25], [40, 10, 60, 45]], np.float32)
RBOX = np.array([[50, 25, 40, 10, 0.5]], np.float32)


def picture():
    image = np.full((50, 80, 3), 40, np.uint8)
    image[5:25, 10:30] = (0, 0, 200)
    cv2.fillPoly(image, [rboxes_to_polys(RBOX).reshape(4, 2).round().astype(np.int32)], (200, 0, 0))
    return image


def upright(image=None, detector=DETECTOR):
    found = Detections("a.png", [0.9, 0.4], [1, 0], boxes=BOXES)
    return Prediction.of(found, image, picture(), detector=detector)


def turned():
    return Prediction.of(Detections(3, [0.75], [0], rboxes=RBOX), picture(), picture(), detector=DETECTOR)


def test_it_is_detections_with_names():
    found = upright()
    assert (
        isinstance(found, Detections) and found.names == ["big dog", "cat"] and found["boxes"] is found.boxes
    )
    assert found.select(0.5).names == ["big dog"] and found.select(classes=["cat"]).scores.tolist() == [
        pytest.approx(0.4)
    ]
    assert repr(found) == "Prediction('a.png': 1 big dog, 1 cat, scores 0.90 to 0.40)"
    assert found.select(0.5).image_size == (50, 80) and not len(found.select(0.5, ["cat"]))
    with pytest.raises(ConfigError, match=r"no class 'dog'.*did you mean 'big dog'"):
        found.select(classes=["dog"])
    nameless = upright(detector=SimpleNamespace(classes=(), image_reader=ImageReader()))
    assert nameless.names == ["1", "0"] and nameless.select(classes=["1"]).labels.tolist() == [1]
    masks = [{"size": [50, 80], "counts": "x"}, {"size": [50, 80], "counts": "y"}]
    masked = Prediction("a", [0.9, 0.4], [1, 0], boxes=BOXES, masks=masks)
    assert masked.select(0.5).masks == masks[:1] and masked.to_coco()[1]["segmentation"] == masks[1]


def test_lines_of_labels():
    assert upright().yolo() == "1 0.25 0.3 0.25 0.4\n0 0.625 0.55 0.25 0.7\n"
    assert upright().yolo(with_scores=True).splitlines()[0] == "1 0.25 0.3 0.25 0.4 0.90000"
    words = np.array(turned().yolo().split(), float)
    np.testing.assert_allclose(words, [0, *(rboxes_to_polys(RBOX)[0] / ([80, 50] * 4))], atol=1e-7)
    assert upright().dota().splitlines()[0] == "10.0 5.0 30.0 5.0 30.0 25.0 10.0 25.0 big_dog 0"


def test_entries_of_coco():
    assert upright().to_coco() == [
        {"image_id": "a.png", "category_id": 2, "bbox": [10, 5, 20, 20], "score": 0.9},
        {"image_id": "a.png", "category_id": 1, "bbox": [40, 10, 20, 35], "score": 0.4},
    ]
    assert [entry["category_id"] for entry in upright().to_coco([70, 80])] == [80, 70]
    (entry,) = turned().to_coco()
    polys = rboxes_to_polys(RBOX)[0]
    np.testing.assert_allclose(entry["segmentation"], [polys], atol=1e-3)
    np.testing.assert_allclose(entry["bbox"][:2], polys.reshape(4, 2).min(0), atol=1e-3)
    coco = SimpleNamespace(classes=COCO_CLASSES, image_reader=ImageReader())
    found = Prediction.of(Detections(1, [0.5], [79], boxes=BOXES[:1]), None, picture(), detector=coco)
    assert found.to_coco()[0]["category_id"] == 90


def test_crops_show_the_objects():
    first, second = upright(picture()).crops()
    assert first.shape == (20, 20, 3) and (first == (0, 0, 200)).all() and second.shape == (35, 20, 3)
    (crop,) = turned().crops()
    assert crop.shape == (10, 40, 3) and (crop[2:-2, 2:-2] == (200, 0, 0)).all()


def test_files_are_of_the_kind_of_their_suffix(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    found = upright(str(tmp_path / "a.png"))
    drawn = cv2.imread(str(found.save(tmp_path / "out/drawn.png")))
    np.testing.assert_array_equal(drawn, found.plot())
    assert (drawn != picture()).any() and (found.plot(with_text=False) != drawn).any()
    assert found.save(tmp_path / "a.txt").read_text() == found.yolo(with_scores=True)
    written = json.loads(found.save(tmp_path / "a.json").read_text())
    assert written["classes"] == ["cat", "big dog"] and written["images"][0]["labels"] == [1, 0]
    assert cv2.imdecode(np.frombuffer(found._repr_png_(), np.uint8), 1).shape == (50, 80, 3)
    with pytest.raises(DataError, match="no image format"):
        found.save(tmp_path / "a.doc")
    with pytest.raises(DataError, match=r"the image 'a\.png' of these detections is not known"):
        upright().plot()


def test_it_is_shown_in_colour(monkeypatch):
    shown = []
    monkeypatch.setattr(Image, "fromarray", lambda pixels: SimpleNamespace(show=lambda: shown.append(pixels)))
    turned().show()
    np.testing.assert_array_equal(shown[0][..., ::-1], turned().plot())
