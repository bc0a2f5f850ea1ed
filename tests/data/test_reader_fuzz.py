"""Damaged label files of every kind: read, or refused with a sentence; nothing ends in a traceback."""

from __future__ import annotations

import copy
import json
import pickle
import random

import cv2
import numpy as np
import pytest

from jld.data import COCODataset, DOTADataset, ImageFolder, VOCDataset, YOLODataset
from jld.data.classes import class_names
from jld.data.dota import read_dior_xml, read_fair_xml, read_hrsc_xml, read_label_file, read_ssdd_xml
from jld.errors import JldError

RNG = np.random.default_rng(0)
TOKENS = (
    b"NaN", b"-Infinity", b"1e999", b"-1", b"0", b"null", b"[]", b"{}", b'"x"', b"true", b"1_000", b"\x00",
    b"\xef\xbb\xbf", b"\xff\xfe", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe9", b"\r", b"\n", b" ", b"\\", b"/",
    b"..", b"9" * 400, b"&amp;", b"&x;", b"<object>", b"</object>", b"<bndbox/>", b"\xef\xbc\x91", b"1e5",
    b"plane",
)  # fmt: skip
VALUES = (
    None, True, 0, -1, 7.5, 1e30, float("nan"), float("inf"), 10**400, "", "1", "x", "a\0b", "\ud800",
    "..\\a", [], [1], [[1]], {}, {"id": 1}, "true", "C:\\a.png",
)  # fmt: skip
COCO = {
    "images": [
        {"id": 1, "file_name": "a.png", "width": 64, "height": 48},
        {"id": 2, "file_name": "b.png", "width": 64, "height": 48},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 30], "area": 900, "iscrowd": 0},
        {"id": 2, "image_id": 2, "category_id": 2, "bbox": [5.5, 2, 30, 30], "area": 9.5, "iscrowd": 1},
        {"id": 3, "image_id": 2, "category_id": 1, "bbox": [1, 2, 3, 4], "attributes": {"rotation": 30}},
    ],
    "categories": [{"id": 1, "name": "car", "supercategory": "all"}, {"id": 2, "name": "bus"}],
}
VOC = """<?xml version="1.0" encoding="utf-8"?>
<annotation><size><width>64</width><height>48</height></size>
<object><name>car</name><difficult>0</difficult><bndbox>
<xmin>2</xmin><ymin>3</ymin><xmax>30</xmax><ymax>40</ymax></bndbox></object>
<object><name>bus</name><difficult>1</difficult><bndbox>
<xmin>5</xmin><ymin>6</ymin><xmax>50</xmax><ymax>44</ymax></bndbox></object></annotation>"""
DOTA = "imagesource:GoogleEarth\ngsd:0.25\n1 2 30 2 30 40 1 40 plane 0\n5.5 6 50 6 50 44 5 44 ship 1\n"
POINTS = "".join(f"<point>{x},{y}</point>" for x, y in ((1, 2), (30, 2), (30, 40), (1, 40), (1, 2)))
FAIR = f"""<annotation><objects><object><points>{POINTS}</points><possibleresult><name>Boeing737</name>
</possibleresult></object></objects></annotation>"""
SIDES = ("left_top", "right_top", "right_bottom", "left_bottom")
CORNERS = "".join(
    f"<{axis}_{side}>{9 + 3 * row}</{axis}_{side}>" for row, side in enumerate(SIDES) for axis in "xy"
)
DIOR = f"<annotation><object><name>ship</name><robndbox>{CORNERS}</robndbox></object></annotation>"
TURNED = "".join(f"<{axis}{corner}>{9 * corner}</{axis}{corner}>" for corner in range(1, 5) for axis in "xy")
SSDD = f"<annotation><object><name>ship</name><rotated_bndbox>{TURNED}</rotated_bndbox></object></annotation>"
ROLABELIMG = """<annotation><size><width>64</width><height>48</height></size><object><name>car</name>
<robndbox><cx>30</cx><cy>20</cy><w>20</w><h>9</h><angle>0.5</angle></robndbox></object>
<object><name>bus</name><difficult>0</difficult><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>30</xmax>
<ymax>40</ymax></bndbox></object></annotation>"""
CVAT = """<annotations><meta><task><labels><label><name>car</name></label></labels></task></meta>
<image id="0" name="a.png" width="64" height="48"><box label="car" xtl="2" ytl="3" xbr="30" ybr="40"
rotation="30"/><polygon label="bus" points="5,6;50,6;50,44"><attribute name="difficult">true</attribute>
</polygon><points label="car" points="1,2"/></image></annotations>"""
LABELME = {
    "imagePath": "a.png",
    "imageHeight": 48,
    "imageWidth": 64,
    "shapes": [
        {"label": "car", "points": [[2, 3], [30, 40]], "shape_type": "rectangle", "flags": {}},
        {"label": "bus", "points": [[5, 6], [50, 6], [50, 44]], "group_id": 1, "difficult": True},
        {"label": "bus", "points": [[9, 6], [50, 6], [50, 44]], "group_id": 1, "flags": {"difficult": 1}},
    ],
}
HRSC = """<HRSC_Image><HRSC_Objects><HRSC_Object><Class_ID>100000001</Class_ID><difficult>0</difficult>
<mbox_cx>30</mbox_cx><mbox_cy>20</mbox_cy><mbox_w>20</mbox_w><mbox_h>9</mbox_h><mbox_ang>0.5</mbox_ang>
</HRSC_Object></HRSC_Objects></HRSC_Image>"""


def use(dataset) -> None:
    """What a run does with a dataset; every object must be somewhere in its account."""
    if len(dataset):
        dataset.get(0, RNG)
        dataset.ground_truth()
    account = dataset.account()
    assert account.objects == account.trained + account.ignored.total + account.dropped.total
    assert account.images == account.images_used + account.images_left_out.total
    json.dumps(account.as_dict())
    assert account.describe() and all(map(str, dataset.problems))


def read_coco(folder, path):
    for strict in (True, False):
        use(COCODataset(str(folder), str(path), filter_empty_gt=strict, strict=strict))


def read_voc(folder, path):
    for strict in (True, False):
        use(VOCDataset(str(folder), "train", classes=["car", "bus"], strict=strict, filter_empty_gt=strict))


def read_dota(folder, path):
    places = {"images_dir": str(folder / "images"), "annotations_file": str(path.parent)}
    for strict in (True, False):
        use(DOTADataset(**places, classes=["plane", "ship"], strict=strict, filter_empty_gt=strict))


def read_other(folder, path):
    places = {"images_dir": str(folder / "images"), "annotations_file": str(path.parent)}
    if path.suffix == ".json":
        places["annotations_file"] = str(path)
    kind = {".xml": "rolabelimg", ".txt": "yolo_obb"}.get(path.suffix, "dota")
    for strict in (True, False):
        use(
            DOTADataset(
                **places, classes=["car", "bus"], label_format=kind, strict=strict, filter_empty_gt=strict
            )
        )


def read_as_coco(folder, path):
    source = path if path.suffix == ".xml" else path.parent
    kind = "dota" if path.suffix == ".xml" else "labelme"
    for strict in (True, False):
        use(COCODataset(str(folder / "images"), str(source), strict=strict, filter_empty_gt=strict))
        use(
            DOTADataset(
                images_dir=str(folder / "images"),
                annotations_file=str(source),
                label_format=kind,
                strict=strict,
                filter_empty_gt=strict,
            )
        )


def read_yolo(folder, path):
    for strict in (True, False):
        use(YOLODataset(str(folder / "images"), str(path.parent), strict=strict, filter_empty_gt=strict))


def read_pkl(folder, path):
    use(DOTADataset(images_dir=str(folder / "images"), annotations_file=str(path), filter_empty_gt=False))


def jdet_entries():
    boxes = np.array([[20, 20, 20, 10, 0.25]], np.float32)
    empty = np.zeros((0, 5), np.float32)
    ann = {
        "bboxes": boxes,
        "labels": np.array([1]),
        "bboxes_ignore": empty,
        "labels_ignore": np.zeros(0, np.int64),
    }
    return [{"filename": "a.png", "width": 64, "height": 48, "ann": ann}]


READERS = {
    "coco.json": (json.dumps(COCO).encode(), read_coco),
    "Annotations/a.xml": (VOC.encode(), read_voc),
    "ImageSets/Main/train.txt": (b"a\nb\n", read_voc),
    "labelTxt/a.txt": (DOTA.encode(), read_dota),
    "labels.pkl": (pickle.dumps(jdet_entries()), read_pkl),
    "oriented.json": (json.dumps(COCO).encode(), read_other),
    "cvat/all.xml": (CVAT.encode(), read_as_coco),
    "labelme/a.json": (json.dumps(LABELME).encode(), read_as_coco),
    "ro/a.xml": (ROLABELIMG.encode(), read_other),
    "obb/a.txt": (b"0 0.1 0.1 0.5 0.1 0.5 0.6 0.1 0.6\n1 0.3 0.2 0.9 0.2 0.9 0.7 0.3 0.7\n", read_other),
    "yolo/a.txt": (b"0 0.5 0.5 0.25 0.5\n1 0.3 0.2 0.1 0.2\n", read_yolo),
    "yolo/data.yaml": (b"nc: 2\nnames:\n  0: car\n  1: bus\n", read_yolo),
    "hrsc.xml": (HRSC.encode(), lambda folder, path: read_hrsc_xml(path, classwise=True)),
    "ssdd.xml": (SSDD.encode(), lambda folder, path: read_ssdd_xml(path)),
    "fair.xml": (FAIR.encode(), lambda folder, path: read_fair_xml(path)),
    "dior.xml": (DIOR.encode(), lambda folder, path: read_dior_xml(path)),
    "classes.txt": (b"car\nbus\n", lambda folder, path: class_names(str(path))),
    "images.txt": (
        b"a.png\nb.png\n",
        lambda folder, path: len(ImageFolder(str(folder / "images"), str(path))),
    ),
    "label.txt": (DOTA.encode(), lambda folder, path: read_label_file(path, ["plane", "ship"])),
}


def write_sound_files(folder):
    """A file of every kind, and what their readers need beside them; the folder."""
    for name in (
        "images",
        "JPEGImages",
        "Annotations",
        "ImageSets/Main",
        "labelTxt",
        "ro",
        "obb",
        "yolo",
        "cvat",
        "labelme",
    ):
        (folder / name).mkdir(parents=True)
    for name in ("a.png", "b.png", "images/a.png", "images/b.png", "JPEGImages/a.png", "JPEGImages/b.png"):
        cv2.imwrite(str(folder / name), np.zeros((48, 64, 3), np.uint8))
    (folder / "labelTxt/b.txt").write_text(DOTA)
    (folder / "Annotations/b.xml").write_text(VOC)
    (folder / "ro/b.xml").write_text(ROLABELIMG)
    for name, (content, _) in READERS.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_sound_files(tmp_path_factory.mktemp("fuzz"))


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The same bytes with one to three places cut, doubled, flipped or overwritten by something odd."""
    for _ in range(rng.randint(1, 3)):
        at, length = rng.randrange(len(content) + 1), rng.choice((0, 1, 1, 2, 5, 20))
        new = rng.choice(
            (rng.choice(TOKENS), rng.choice(TOKENS), b"", content[at : at + 30], rng.randbytes(2))
        )
        content = content[:at] + new + content[at + length :]
    return content


def places(node, path=()):
    """Every place in a nested structure."""
    yield path
    for key, value in (
        node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    ):
        yield from places(value, (*path, key))


def changed(node, rng: random.Random):
    """The structure with a value of another kind somewhere, or without a key."""
    node = copy.deepcopy(node)
    path = rng.choice([path for path in places(node) if path])
    holder = node
    for key in path[:-1]:
        holder = holder[key]
    if rng.random() < 0.1:
        del holder[path[-1]]
    else:
        holder[path[-1]] = copy.deepcopy(rng.choice(VALUES))
    return node


def read(name, folder, content) -> bool:
    """Whether the reader took the content; refusing it with a sentence is as good."""
    sound, reader = READERS[name]
    path = folder / name
    path.write_bytes(content)
    try:
        reader(folder, path)
    except JldError as problem:
        assert len(str(problem)) > 10
        return False
    finally:
        path.write_bytes(sound)
    return True


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(folder, name):
    assert read(name, folder, READERS[name][0])
    rng = random.Random(name)
    results = [read(name, folder, damaged(READERS[name][0], rng)) for _ in range(120)]
    assert not all(results) or name.endswith(".txt")


@pytest.mark.parametrize("name", ["coco.json", "oriented.json", "labelme/a.json"])
def test_values_of_another_kind_in_json_are_read_or_refused(folder, name):
    rng, content = random.Random(5), json.loads(READERS[name][0])
    results = [read(name, folder, json.dumps(changed(content, rng)).encode()) for _ in range(250)]
    assert 25 < sum(results) < 225


def test_values_of_another_kind_in_a_pickle_are_read_or_refused(folder):
    rng = random.Random(6)
    results = [read("labels.pkl", folder, pickle.dumps(changed(jdet_entries(), rng))) for _ in range(150)]
    assert 0 < sum(results) < 140
