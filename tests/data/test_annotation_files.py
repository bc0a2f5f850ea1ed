"""CVAT's xml and labelme's json: what is read, what is passed over with a word, what is refused."""

import json

import cv2
import numpy as np
import pytest

from jld.data import COCODataset, DOTADataset
from jld.data.problems import errors_of
from jld.errors import DataError

WIDTH, HEIGHT = 80, 50


@pytest.fixture
def images(tmp_path):
    for name in ("a ä", "b"):
        data = cv2.imencode(".png", np.zeros((HEIGHT, WIDTH, 3), np.uint8))[1]
        (tmp_path / f"{name}.png").write_bytes(data.tobytes())
    return tmp_path


CVAT = """<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>
<meta><task><labels><label><name>bus</name></label><label><name>van 货</name></label></labels></task></meta>
<image id="0" name="a ä.png" width="80" height="50">
<box label="bus" xtl="10" ytl="10" xbr="40" ybr="20" rotation="30" occluded="0"/>
<polygon label="van 货" points="1,1;20,1;20,9"><attribute name="difficult">true</attribute></polygon>
<ellipse label="bus" cx="60" cy="30" rx="10" ry="5"/>
<points label="bus" points="1,2"/><tag label="bus"/></image>
<image id="1" name="b.png" width="80" height="50"/></annotations>"""


def cvat(folder, text=CVAT, **options):
    (folder / "labels.xml").write_text(text, encoding="utf-8")
    return COCODataset(str(folder), "labels.xml", filter_empty_gt=False, **options)


def test_cvat_is_read_upright(images):
    data = cvat(images)
    assert data.classes == ("bus", "van 货") and data.image_ids == ["a ä.png", "b.png"]
    first, second = data.ground_truth()
    np.testing.assert_allclose(first["boxes"][1:], [[1, 1, 20, 9], [50, 25, 70, 35]])
    half = np.array([30 * np.cos(np.pi / 6) + 5, 15 + 10 * np.cos(np.pi / 6)]) / 2
    np.testing.assert_allclose(first["boxes"][0], [*([25, 15] - half), *([25, 15] + half)])
    assert first["labels"].tolist() == [0, 1, 0] and first["is_crowd"].tolist() == [False, True, False]
    assert not len(second["boxes"])
    said = " ".join(problem.message for problem in data.problems)
    assert "1 rotated rectangles" in said and "1 objects of the kind points" in said
    account = data.account()
    assert (account.objects, account.trained, account.ignored.total, account.dropped.total) == (5, 2, 1, 2)
    assert data.get(0, np.random.default_rng(0))["boxes"].shape == (2, 4)


def test_cvat_is_read_with_its_angles(images):
    cvat(images)
    data = DOTADataset(
        images_dir=str(images), annotations_file=str(images / "labels.xml"), angle_version="le90"
    )
    (truth,) = data.ground_truth()
    np.testing.assert_allclose(truth["rboxes"][0], [25, 15, 30, 10, np.pi / 6], atol=1e-4)
    np.testing.assert_allclose(truth["boxes"][2], [50, 25, 70, 35])
    assert truth["difficult"].tolist() == [0, 1, 0] and data.classes == ("bus", "van 货")
    assert data.account().dropped.total == 2


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('xtl="10"', "", r"labels\.xml:4: box has no xtl"),
        ('xtl="10"', 'xtl="1_0"', "box has a xtl that is '1_0', which is no number"),
        ('rotation="30"', 'rotation="north"', "rotation that is 'north'"),
        ('label="bus" xtl', 'lable="bus" xtl', "box has no label"),
        (">true<", ">maybe<", "polygon has a mark that is 'maybe'"),
        ('points="1,1;20,1;20,9"', 'points="1,1;20,1"', r"labels\.xml:5: polygon has the points '1,1;20,1'"),
        ('points="1,1;20,1;20,9"', 'points="1,1;20,x;20,9"', "point that is 'x'"),
        ('width="80"', 'width="0"', r"labels\.xml:3: image has a width that is"),
        ('name="b.png"', 'name="a ä.png"', "has the id a ä.png of an earlier image"),
    ],
)
def test_what_cvat_cannot_mean_is_named_with_its_line(images, old, new, reason):
    assert old in CVAT
    with pytest.raises(DataError, match=reason):
        cvat(images, CVAT.replace(old, new, 1))
    account = cvat(images, CVAT.replace(old, new, 1), strict=False).account()
    assert account.objects == 5 and account.images == 2


def test_other_xml_is_refused(images):
    for text, reason in (
        ("<annotations><track/></annotations>", "holds tracks, no images"),
        ("<annotation/>", "holds <annotation>, no images"),
        ("<annotations/>", "names no image"),
    ):
        with pytest.raises(DataError, match=reason):
            cvat(images, text)


SHAPES = [
    {"label": "bus", "points": [[40, 20], [10, 10.5]], "shape_type": "rectangle", "flags": {}},
    {"label": "van", "points": [[1, 1], [20, 1], [20, 9]], "group_id": 1, "flags": {"difficult": True}},
    {"label": "van", "points": [[30, 1], [40, 1], [40, 9]], "shape_type": "polygon", "group_id": 1},
    {"label": "bus", "points": [[60, 30], [63, 34]], "shape_type": "circle", "difficult": False},
    {"label": "bus", "points": [[30, 20], [40, 10], [50, 20], [40, 30]], "shape_type": "rotation"},
    {"label": "bus", "points": [[30, 1], [40, 1]], "shape_type": "line"},
]


def write_labelme(folder, shapes, **changes):
    content = {"imagePath": "a ä.png", "imageHeight": HEIGHT, "imageWidth": WIDTH, "shapes": shapes}
    (folder / "a ä.json").write_text(json.dumps({**content, **changes}))
    return folder


def labelme(folder, **options):
    return COCODataset(str(folder), str(folder), filter_empty_gt=False, **options)


def test_labelme_is_read_upright(images):
    data = labelme(write_labelme(images, SHAPES))
    (truth,) = data.ground_truth()
    assert data.classes == ("bus", "van") and truth["labels"].tolist() == [0, 1, 0, 0]
    wanted = [[10, 10.5, 40, 20], [1, 1, 40, 9], [55, 25, 65, 35], [30, 10, 50, 30]]
    np.testing.assert_allclose(truth["boxes"], wanted)
    assert truth["is_crowd"].tolist() == [False, True, False, False]
    account = data.account()
    assert account.images_left_out.counts == {"without a json file": 1}
    assert account.dropped.counts == {"of the kind line, which is no box": 1} and account.objects == 5


def test_labelme_is_read_with_its_angles(images):
    data = DOTADataset(
        images_dir=str(write_labelme(images, SHAPES)),
        annotations_file=str(images),
        label_format="labelme",
        angle_version="le90",
    )
    (truth,) = data.ground_truth()
    assert truth["polys"][3].tolist() == [30, 20, 40, 10, 50, 20, 40, 30]
    np.testing.assert_allclose(truth["boxes"][1], [1, 1, 40, 9], atol=1e-4)
    assert truth["difficult"].tolist() == [0, 1, 0, 0]


def test_classes_of_labelme_are_listed_or_found(images):
    (images / "labels.txt").write_text("__ignore__\n_background_\nvan\ntram\n")
    assert labelme(write_labelme(images, SHAPES)).classes == ("van", "tram", "bus")
    assert labelme(images, classes=["bus"]).account().trained == 3


def test_images_of_labelme_are_found_where_files_were_moved(images):
    for stale in ("C/old\\a ä.png", "..\\elsewhere/gone.png", f"../{images.name}/a ä.png"):
        data = labelme(write_labelme(images, SHAPES, imagePath=stale, imageWidth=None))
        assert data.image_ids == ["a ä.png"] and data.image_sizes().tolist() == [[HEIGHT, WIDTH]]
    (images / "json").mkdir()
    (images / "a ä.json").rename(images / "json/other.json")
    data = COCODataset(str(images), "json", filter_empty_gt=False)
    assert data.image_file(0) == str(images / "a ä.png")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"points": [[1, 2]]}, r"shapes\[0\] is a rectangle of 1 points, but needs 2"),
        ({"points": [1, 2]}, r"shapes\[0\]: points is \[1, 2\], but must be"),
        ({"points": [["1", 2], [3, 4]]}, "is the text '1'"),
        ({"label": ""}, "label is '', but must be text"),
        ({"flags": {"difficult": "maybe"}}, "flags hold a difficult that is 'maybe'"),
        ({"difficult": 3}, "difficult is 3"),
    ],
)
def test_shapes_that_cannot_be_used_are_named(images, change, reason):
    write_labelme(images, [SHAPES[0] | change, *SHAPES[1:]])
    with pytest.raises(DataError, match=reason):
        labelme(images)
    data = labelme(images, strict=False)
    assert len(errors_of(data.problems)) == 1
    assert data.account().dropped.counts["that cannot be used"] == 1 and data.account().objects == 5


def test_other_json_is_refused(images):
    (images / "coco.json").write_text('{"images": []}')
    with pytest.raises(DataError, match=r"coco\.json: is no file of labelme"):
        labelme(images)
    (images / "coco.json").unlink()
    with pytest.raises(DataError, match="holds no json file of labelme"):
        labelme(images)
    with pytest.raises(DataError, match=r"a ä\.json: imagePath is null"):
        labelme(write_labelme(images, [], imagePath=None))
