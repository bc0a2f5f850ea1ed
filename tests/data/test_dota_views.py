"""Views of an image: mirrored and resized ones are seen, and what is found there is joined."""

import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.data.dota import Views
from jld.data.dota.views import resized
from jld.errors import ConfigError, DataError

BOXES = {"a": (20, 12, 60, 44), "b": (8, 40, 24, 72)}  # x1, y1, x2, y2 px of the original
ORIGINALS, ZOOM = np.array([[80.0, 100.0], [80.0, 50.0]], np.float32), 2.0


def batch():
    """Two originals of other sizes, doubled and padded, black but for a white box."""
    images = np.zeros((2, 3, 160, 224), np.float32)
    for image, (x1, y1, x2, y2) in zip(images, BOXES.values(), strict=True):
        image[:, 2 * y1 : 2 * y2, 2 * x1 : 2 * x2] = 1
    return {
        "images": images,
        "img_shapes": ORIGINALS * ZOOM,
        "pad_shapes": np.full((2, 2), (160, 224), np.float32),
        "ori_shapes": ORIGINALS,
        "scale_factors": np.full((2, 4), ZOOM, np.float32),
        "img_ids": list(BOXES),
    }


def detect(seen, score):
    """What is bright, in px of the original, as detectors count: pixel i reaches from i to i + 1."""
    found = []
    for image, img_id, scale in zip(seen["images"], seen["img_ids"], seen["scale_factors"], strict=True):
        rows, columns = np.nonzero(image[0] > 0.5)
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]) / scale
        found.append(Detections(img_id, [score], [3], boxes=box[None]))
    return found


def look(views):
    """Every later view is surer."""
    seen = []
    for number, (image, flip) in enumerate(views.looks(batch())):
        found = detect(image, 0.5 + number / 100)
        seen.append(found if flip is None else views.unmirror(found, image, flip))
    assert len(seen) == len(views)
    return seen


def test_every_view_finds_the_same_upright_boxes():
    views = Views(("H", "V", "HV"), None, (0.5, 1.5))
    seen = look(views)
    assert len(seen) == 12
    for found in seen:
        for each, box in zip(found, BOXES.values(), strict=True):
            np.testing.assert_allclose(each.boxes[0], box, atol=1e-4)


def test_views_of_odd_sizes_are_a_pixel_off_at_most():
    for found in look(Views(("H",), None, (0.37, 1.23))):
        for each, box in zip(found, BOXES.values(), strict=True):
            assert np.abs(each.boxes[0] - box).max() < 1 / (0.37 * ZOOM)


def test_joined_are_the_surest_and_what_they_leave():
    views = Views(("H",), None, (0.5,))
    first, *others = look(views)
    # A second object of the class next to the first one, and one of another class in the same place.
    near = Detections("a", [0.4, 0.3], [3, 1], boxes=[[28, 12, 68, 44], [20, 12, 60, 44]])
    joined = views.join([[first[0], first[1]], [near], *others], ())
    assert [found.img_id for found in joined] == ["a", "b"] and joined[0].boxes.dtype == np.float32
    np.testing.assert_allclose(joined[0].scores, [0.53, 0.3], atol=1e-6)  # IoU 0.67 is above 0.5
    assert joined[0].labels.tolist() == [3, 1] and len(joined[1]) == 1
    strict = Views(("H",), {"x": 0.9}, (0.5,))
    with pytest.raises(ConfigError, match="no merging threshold is given for y"):
        strict.join([first], ("x", "y"))
    kept = Views(("H",), 0.7).join([first, [near]], ())
    np.testing.assert_allclose(kept[0].scores, [0.5, 0.4, 0.3], atol=1e-6)


def test_resized_images_are_padded_for_the_network():
    small = resized(batch(), 0.3)
    assert small["images"].shape == (2, 3, 64, 64) and small["pad_shapes"].tolist() == [[64, 64]] * 2
    assert small["img_shapes"].tolist() == [[48, 60], [48, 30]]
    np.testing.assert_allclose(small["scale_factors"], 0.6, rtol=1e-6)
    assert not small["images"][1, :, :, 30:].any()


def test_masks_cannot_be_joined():
    mask = {"size": [4, 4], "counts": "0"}
    found = Detections("a", [0.5], [0], boxes=[[0, 0, 2, 2]], masks=[mask])
    with pytest.raises(DataError, match="masks found in several views"):
        Views(("H",)).join([[found], [found]], ("x",))
