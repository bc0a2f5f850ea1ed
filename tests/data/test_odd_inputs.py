"""What people's files hold (docs/data_rules.md): taken as it is meant, said, or refused with the reason.

The values are invented; each row is a form in which such files were met or could be.
"""

from __future__ import annotations

import copy
import gzip
import json
import unicodedata

import numpy as np
import pytest

from jld.data import COCODataset, DOTADataset, VOCDataset, YOLODataset, check_dataset
from jld.data.images import ImageReader
from jld.data.labels import follow_classes
from jld.data.problems import errors_of
from jld.errors import DataError

NFC, NFD = (unicodedata.normalize(form, "Bäckerei") for form in ("NFC", "NFD"))
WIDTH, HEIGHT = 64, 48


def bmp(width=WIDTH, height=HEIGHT):
    """A grey picture as the bytes of a file: no library is asked."""
    row = -(-width * 3 // 4) * 4
    head = b"BM" + (54 + row * height).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    sides = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return head + (40).to_bytes(4, "little") + sides + b"\1\0\x18\0" + bytes(24) + b"\x5a" * row * height


def put(path, content=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        bmp() if content is None else content if isinstance(content, bytes) else content.encode()
    )
    return path


def outcome(make):
    """(objects trained on, everything that is said about the data, errors first)."""
    data = make()
    problems = check_dataset(data)
    if errors_of(problems):
        return None, " ".join(map(str, problems))
    return data.account().trained, " ".join(map(str, problems))


def judge(make, expected):
    """`expected` is a number of objects, that number and a word about them, or the reason of a refusal."""
    number, said = expected if isinstance(expected, tuple) else (expected, "")
    if isinstance(expected, str):
        try:
            number, told = outcome(make)
        except DataError as problem:
            number, told = None, str(problem)
        assert number is None and expected in told, (number, told)
        return
    found, told = outcome(make)
    assert found == number and said in told and bool(told) == bool(said), (found, told)


# COCO.

CONTENT = {
    "images": [
        {"id": number, "file_name": f"{number}.bmp", "width": WIDTH, "height": HEIGHT} for number in range(4)
    ],
    "annotations": [
        {
            "id": 3 * image + row,
            "image_id": image,
            "category_id": 1 + row % 2,
            "bbox": [4 + 9 * row, 5, 20, 18],
        }
        for image in range(4)
        for row in range(3)
    ],
    "categories": [{"id": 1, "name": "car"}, {"id": 2, "name": "bus"}],
}


def of_each(name, key, change):
    def edit(content):
        for entry in content[name]:
            entry[key] = change(entry)

    return edit


def boxes(change):
    return of_each("annotations", "bbox", lambda entry: change(*entry["bbox"]))


def size(width, height, rate=1.0):
    def edit(content):
        for image in content["images"]:
            image.update(width=width, height=height)
        boxes(lambda *box: [rate * each for each in box])(content)

    return edit


def named(change, files=None):
    """The images called otherwise in the json; on the disk they are `files` of the names so far."""

    def edit(content):
        content["files"] = [(files or str)(image["file_name"]) for image in content["images"]]
        of_each("images", "file_name", lambda image: change(image["file_name"]))(content)

    return edit


COCO = {
    "corners": (boxes(lambda x, y, w, h: [x + 9, y, x + w + 15, y + h + 9]), "but not as [x1, y1, x2, y2]"),
    "centres": (boxes(lambda x, y, w, h: [x + 20, y + 18, 40, 36]), "but not as [cx, cy, width, height]"),
    "fractions": (boxes(lambda *box: [each / 64 for each in box]), "fractions of the image are not read"),
    "numbers in quotes": (boxes(lambda *box: list(map(str, box))), "is not made of four numbers"),
    "one text": (boxes(lambda *box: ",".join(map(str, box))), "must be [x, y, width, height]"),
    "a dictionary": (
        boxes(lambda *box: dict(zip("xywh", box, strict=True))),
        "must be [x, y, width, height]",
    ),
    "an angle": (boxes(lambda *box: [*box, 30]), "must be [x, y, width, height]"),
    "a list in a list": (boxes(lambda *box: [list(box)]), "must be [x, y, width, height]"),
    "nothing": (boxes(lambda *box: []), "must be [x, y, width, height]"),
    "a negative side": (boxes(lambda x, y, w, h: [x + w, y, -w, h]), "has a negative or non-finite side"),
    "resized since": (size(640, 480, 10), "was it resized after it was labelled?"),
    "enlarged since": (size(32, 24, 0.5), "was it resized after it was labelled?"),
    "sides exchanged": (size(HEIGHT, WIDTH), (12, "is 64x48 px, but its annotation says 48x64")),
    "a size as text": (size("64", 48), "width is the text '64'"),
    "a size with a fraction": (size(64.5, 48), "must be a whole number of px"),
    "a size as float": (size(64.0, 48.0), 12),
    "class ids as text": (of_each("annotations", "category_id", lambda entry: f"{entry['category_id']}"), 12),
    "class names as ids": (of_each("annotations", "category_id", lambda entry: "car"), "has category_id car"),
    "class ids from 0": (
        of_each("annotations", "category_id", lambda entry: entry["category_id"] - 1),
        "has category_id 0",
    ),
    "file names as image ids": (
        of_each("annotations", "image_id", lambda entry: f"{entry['image_id']}.bmp"),
        "is not among the images",
    ),
    "image ids as float": (of_each("annotations", "image_id", lambda entry: float(entry["image_id"])), 12),
    "classes as names": (lambda content: content.update(categories=["car", "bus"]), "must be an object"),
    "classes as a dictionary": (lambda content: content.update(categories={"1": "car"}), "list 'categories'"),
    "class ids as words": (
        of_each("categories", "id", lambda entry: entry["name"]),
        "must be a whole number",
    ),
    "a class in two spellings": (
        lambda content: content["categories"].append({"id": 3, "name": "Car"}),
        (12, "in two spellings, or two?"),
    ),
    "an area beyond the box": (
        of_each("annotations", "area", lambda entry: 1e7),
        (12, "an area far larger than the box for 12"),
    ),
    "an area as text": (of_each("annotations", "area", lambda entry: "360"), "area is the text '360'"),
    "a crowd of 2": (of_each("annotations", "iscrowd", lambda entry: 2), "iscrowd is 2"),
    "crowds as words": (of_each("annotations", "iscrowd", lambda entry: "No"), 12),
    "turned by text": (
        of_each("annotations", "attributes", lambda entry: {"rotation": "-90"}),
        (12, "holds 12 rotated rect"),
    ),
    "turned by a word": (of_each("annotations", "rotation", lambda entry: "30°"), "rotation is '30°'"),
    "capitals": (named(lambda name: name.replace("bmp", "BMP")), "does not exist; the folder holds 0.bmp"),
    "no suffix": (named(lambda name: name[:-4]), "does not exist; the folder holds 0.bmp"),
    "other suffix": (named(lambda name: f"{name[:-4]}.jpg"), "does not exist; the folder holds 0.bmp"),
    "an address": (named(lambda name: f"https://a.b/{name}"), "image file does not exist."),
    "spaces, # and %": (named(lambda name: f"a #1%20&'\"{name}", lambda name: f"a #1%20&'\"{name}"), 12),
    "composed on disk": (named(lambda name: NFD + name, lambda name: NFC + name), 12),
    "decomposed on disk": (named(lambda name: NFC + name, lambda name: NFD + name), 12),
    "results": (lambda content: [{"image_id": 1, "score": 0.5}], "it looks like results of a detector"),
    "labelme": (lambda content: {"shapes": [], "imagePath": "a.png"}, "it looks like a file of labelme"),
    "VIA": (lambda content: {"_via_img_metadata": {}}, "it looks like a project of VIA"),
    "CreateML": (lambda content: [{"image": "a.png", "annotations": []}], "an export of CreateML"),
    "labels by id": (lambda content: {**content, "annotations": {"1": {}}}, "'annotations' is missing"),
}


def coco(folder, content, text=None):
    files = content.pop("files", None) if isinstance(content, dict) else None
    for name in files or [f"{number}.bmp" for number in range(4)]:
        put(folder / name)
    put(folder / "a.json", text or json.dumps(content, ensure_ascii=False))
    return COCODataset(str(folder), "a.json", filter_empty_gt=False)


@pytest.mark.parametrize("kind", COCO)
def test_coco(tmp_path, kind):
    edit, expected = COCO[kind]
    content = copy.deepcopy(CONTENT)
    content = edit(content) or content
    judge(lambda: coco(tmp_path, content), expected)


TEXTS = {
    "a list twice": (
        lambda text: f'{text[:-1]}, "annotations": []}}',
        "an object holds 'annotations' twice",
    ),
    "the name of a list as a class": (lambda text: text.replace('"car"', '"images"'), 12),
    "a key twice in another place": (lambda text: text.replace('"car"', '"x", "name": "images"'), 12),
    "packed": (lambda text: gzip.compress(text.encode()), "is packed with gzip; unpack it"),
    "a pointer": (lambda text: "version https://git-lfs.github.com/spec/v1\n", "fetch the file itself"),
    "a line for each object": (lambda text: '{"a": 1}\n{"a": 2}\n', "a.json:2: no valid json, Extra data"),
    "Python": (lambda text: text.replace('"', "'"), "no valid json, Expecting property name"),
    "a comma too many": (lambda text: f"{text[:-1]},}}", "no valid json"),
    "UTF-16": (lambda text: text.encode("utf-16"), 12),
    "Latin-1": (lambda text: text.replace("car", "Büs").encode("latin-1"), "is not in the encoding UTF-8"),
    "not a number": (lambda text: text.replace("[4, 5", "[NaN, 5"), "has a negative or non-finite side"),
    "cut off": (lambda text: text[:-40], "no valid json"),
    "empty": (lambda text: " ", "no valid json"),
}


@pytest.mark.parametrize("kind", TEXTS)
def test_text_of_coco(tmp_path, kind):
    edit, expected = TEXTS[kind]
    judge(lambda: coco(tmp_path, {}, edit(json.dumps(CONTENT))), expected)


# VOC.

OBJECT = "<object><name>car</name><bndbox>{}</bndbox></object>"
SIDES = "<xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax>"
ONE = OBJECT.format(SIDES.format(5, 6, 30, 40))


def sides(*values):
    return OBJECT.format(SIDES.format(*values))


VOC = {
    "three boxes": (
        ONE.replace("</object>", f"<bndbox>{SIDES.format(9, 9, 20, 20)}</bndbox>" * 2 + "</object>"),
        (3, "1 objects repeat another one"),
    ),
    "a decimal comma": (sides("5,5", 6, 30, 40), "the xmin '5,5', which is no number"),
    "wide digits": (sides("５", 6, 30, 40), "is no number"),
    "exponents": (sides("5.0", 6, "3e1", 40), 1),
    "reversed": (sides(30, 6, 5, 40), "has xmax below xmin"),
    "counted from 0": (sides(0, 6, 30, 40), (1, "one_based=False takes coordinates as they are")),
    "a line break in a name": (ONE.replace("car", "\n car\t"), 1),
    "a capital object": (ONE.replace("object>", "Object>"), "here it is <Object>"),
    "a capital object beside others": (ONE + ONE.replace("object>", "OBJECT>"), "here it is <OBJECT>"),
    "a capital box": (ONE.replace("bndbox", "BndBox"), "has no bndbox"),
    "capital sides": (ONE.replace("xmin", "Xmin"), "has no xmin"),
    "a side twice": (ONE.replace("<xmin>", "<xmin>1</xmin><xmin>"), "has two xmin in one bndbox"),
    "two flags": (
        ONE.replace("<bnd", "<difficult>0</difficult><difficult>1</difficult><bnd"),
        "two difficult",
    ),
    "an empty flag": (ONE.replace("<bnd", "<difficult/><bnd"), 1),
    "parts of a person": (
        ONE.replace(
            "</object>",
            f"<part><name>wheel</name><bndbox>{SIDES.format(9, 9, 20, 20)}</bndbox></part></object>",
        ),
        1,
    ),
    "objects in a list": (f"<objects>{ONE}</objects>", "here it is further down"),
    "rotated boxes": (ONE.replace("bndbox", "robndbox"), "has no bndbox"),
    "a capital class": (ONE.replace("car", "Car"), "did you mean 'car'?"),
    "another image": (f"<filename>b.jpg</filename>{ONE}", (1, "are labels exchanged?")),
    "its own image": (f"<filename>C:\\x\\a.jpg</filename>{ONE}", 1),
    "another image of Windows": (f"<filename>C:\\x\\b.jpg</filename>{ONE}", (1, "are labels exchanged?")),
    "an image that is gone": (f"<filename>old_name.jpg</filename>{ONE}", 1),
    "another size": (
        "<size><width>640</width><height>480</height></size>" + sides(50, 60, 300, 400),
        "was it resized",
    ),
}


def voc(folder, xml, lines="a", name="a", classes=("car", "bus")):
    put(folder / f"JPEGImages/{name}.bmp")
    put(folder / "JPEGImages/b.bmp")
    put(folder / f"Annotations/{name}.xml", xml)
    put(folder / "ImageSets/Main/train.txt", lines)
    return VOCDataset(str(folder), "train", classes=list(classes), filter_empty_gt=False)


@pytest.mark.parametrize("kind", VOC)
def test_voc(tmp_path, kind):
    inner, expected = VOC[kind]
    size = "" if "<size>" in inner else f"<size><width>{WIDTH}</width><height>{HEIGHT}</height></size>"
    judge(lambda: voc(tmp_path, f"<annotation>{size}{inner}</annotation>"), expected)


ANNOTATION = f"<annotation>{ONE}</annotation>"
WHOLE = {
    "a web page": ("<!DOCTYPE html><html>404</html>", "here it is below <html>"),
    "CVAT": ("<annotations><image/></annotations>", "here it is below <annotations>"),
    "json": ('{"a": 1}', "malformed xml"),
    "cut off": (ANNOTATION[:60], "malformed xml"),
    "empty": ("", "malformed xml, no element found"),
    "another encoding than it declares": (
        f'<?xml version="1.0" encoding="utf-8"?>{ANNOTATION.replace("car", "车")}'.encode("gbk"),
        "malformed xml",
    ),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_files_of_voc_that_are_none(tmp_path, kind):
    xml, expected = WHOLE[kind]
    judge(lambda: voc(tmp_path, xml), expected)


@pytest.mark.parametrize("lines", ["a.bmp", "a.xml", "JPEGImages/a.bmp Annotations/a.xml", "# train\na"])
def test_lines_of_voc_are_names(tmp_path, lines):
    judge(lambda: voc(tmp_path, ANNOTATION, lines), "No such file or directory")


@pytest.mark.parametrize(("stored", "listed"), [(NFC, NFD), (NFD, NFC), ("a b#%.c", "a b#%.c")])
def test_names_of_voc(tmp_path, stored, listed):
    judge(lambda: voc(tmp_path, ANNOTATION, f"\n {listed} \n\n", name=stored), 1)


def test_a_name_in_two_forms_is_one_image(tmp_path):
    judge(lambda: voc(tmp_path, ANNOTATION, f"{NFC}\n{NFD}\n", name=NFC), "image is listed twice")


# DOTA and YOLO.

LINE = "5 5 30 5 30 30 5 30 plane 0\n"
DOTA = {
    "tabs and spaces": ("  5\t5  30\t5 30 30   5 30\tplane\t0  \r\n", 1),
    "a mark before the header": (f"\ufeffimagesource:x\r\ngsd : 0.1\r\n{LINE}", 1),
    "no line end": (LINE.strip(), 1),
    "lines of old Macs": ((LINE + LINE.replace("30", "31")).replace("\n", "\r"), 2),
    "spaces that do not break": (LINE.replace(" ", "\u00a0"), 1),
    "commas": (LINE.replace(" ", ","), "P1.txt:1: has 1 words"),
    "a space in the class": (LINE.replace("plane", "storage tank"), "has 11 words"),
    "a capital class": (LINE.replace("plane", "Plane"), "did you mean 'plane'?"),
    "a flag as float": (LINE.replace(" 0\n", " 1.0\n"), "has the difficult flag '1.0'"),
    "a capital header": (f"GSD:1\n{LINE}", "P1.txt:1: has 1 words"),
    "a header behind": (f"{LINE}gsd:1\n", "P1.txt:2: has 1 words"),
    "an upright box": ("5 5 30 30 plane\n", "has 5 words"),
    "centre and angle": ("20 20 10 10 0.3 plane 0\n", "has 7 words"),
    "the end mark of DOS": (f"{LINE}\x1a", "P1.txt:2: has 1 words"),
    "wide digits": (LINE.replace("5 5", "５ 5", 1), "holds a coordinate that is '５'"),
    "crossed": ("5 5 30 30 30 5 5 30 plane 0\n", (1, "do not go round a convex shape")),
    "x and y exchanged": (
        LINE.replace("5 5 30 5", "5 60 30 60").replace("30 30 5 30", "30 70 5 70"),
        (0, "outside of their image"),
    ),
    "UTF-16": (LINE.encode("utf-16"), 1),
    "GBK": (LINE.replace("plane", "飞机").encode("gbk"), "iconv -f GB18030"),
}


def dota(folder, text, label="P1.txt", image="P1.bmp"):
    put(folder / "labelTxt" / label, text)
    put(folder / "images" / image)
    return DOTADataset(str(folder), filter_empty_gt=False)


@pytest.mark.parametrize("kind", DOTA)
def test_dota(tmp_path, kind):
    text, expected = DOTA[kind]
    judge(lambda: dota(tmp_path, text), expected)


YOLO_LINE = "0 0.5 0.5 0.25 0.5\n"
YOLO = {
    "tabs and a mark": ("\ufeff0\t0.5  0.5 0.25 0.5 \r\n", 1),
    "a class as float": (YOLO_LINE.replace("0 ", "0.0 ", 1), 1),
    "a class that is not there": ("2" + YOLO_LINE[1:], "has the class number 2"),
    "a negative class": ("-1" + YOLO_LINE[1:], "has the class number -1"),
    "a class by name": ("car" + YOLO_LINE[1:], "has a class number that is 'car'"),
    "px": ("0 32 24 10 10\n", "YOLO's are fractions of the image"),
    "corners": ("0 .2 .2 .9 .9\n1 .1 .3 .95 .8\n0 .3 .5 .8 .95\n", "but not as [x1, y1, x2, y2]"),
    "from the corner": ("0 0 0 .9 .9\n1 0 .1 .95 .8\n0 .1 0 .8 .95\n", "but not as [x, y, width, height]"),
    "one box over the border": ("0 .95 .5 .2 .2\n0 .5 .5 .2 .2\n", (2, "reaches beyond its image")),
    "a negative side": ("0 0.5 0.5 -0.25 0.5\n", "holds the coordinate -0.25"),
    "no side": ("0 0.5 0.5 0 0.5\n", (0, "less than 1 px wide or high")),
    "a score": (YOLO_LINE.replace("\n", " 0.9\n"), "a detection with its score"),
    "commas": (YOLO_LINE.replace(" ", ","), "has 1 words"),
}


def yolo(folder, text, label="a.txt", image="a.bmp"):
    put(folder / "labels" / label, text)
    put(folder / "labels/data.yaml", "names: [car, bus]")
    put(folder / "images" / image)
    return YOLODataset(str(folder / "images"), filter_empty_gt=False)


@pytest.mark.parametrize("kind", YOLO)
def test_yolo(tmp_path, kind):
    text, expected = YOLO[kind]
    judge(lambda: yolo(tmp_path, text), expected)


@pytest.mark.parametrize(("make", "text"), [(dota, LINE), (yolo, YOLO_LINE)])
@pytest.mark.parametrize(
    ("label", "image"),
    [
        ("A.TXT", "A.BMP"),
        (f"{NFC}.txt", f"{NFD}.bmp"),
        (f"{NFD}.txt", f"{NFC}.bmp"),
        ("a#%.b.txt", "a#%.b.bmp"),
    ],
)
def test_label_files_are_found_however_they_are_stored(tmp_path, make, text, label, image):
    judge(lambda: make(tmp_path, text, label, image), 1)


@pytest.mark.parametrize(("asked", "stored"), [(NFC, NFD), (NFD, NFC)])
def test_classes_are_the_same_however_their_accents_are_stored(tmp_path, asked, stored):
    content = copy.deepcopy(CONTENT)
    content["categories"][0]["name"] = stored
    data = coco(tmp_path / "coco", content)
    assert data.classes == (NFC, "bus")
    _, said = follow_classes(data, [asked, "bus"], ours="val", theirs="train")
    assert said.startswith("val has the classes of train in another spelling") == (asked == NFD), said
    xml = ANNOTATION.replace("car", stored)
    judge(lambda: voc(tmp_path / "voc", xml, classes=[asked, "bus"]), 1)
    label = LINE.replace("plane", stored)
    places = {"annotations_file": str(tmp_path / "d/labelTxt"), "images_dir": str(tmp_path / "d/images")}
    put(tmp_path / "d/labelTxt/a.txt", label)
    put(tmp_path / "d/images/a.bmp")
    judge(lambda: DOTADataset(**places, classes=[asked]), 1)


# labelme and CVAT.

RECTANGLE = {"label": "car", "points": [[5, 5], [30, 30]], "shape_type": "rectangle"}
SHAPES = {
    "from the lower right": ({"points": [[30, 30], [5, 5]]}, 1),
    "one point": ({"points": [[5, 5]]}, "is a rectangle of 1 points, but needs 2"),
    "four corners": ({"points": [[5, 5], [30, 5], [30, 30], [5, 30]]}, 1),
    "points in one list": ({"points": [5, 5, 30, 30]}, "but must be [[x, y], ...]"),
    "points as text": ({"points": [["5", "5"], ["30", "30"]]}, "points is the text '5'"),
    "points in space": ({"points": [[5, 5, 1], [30, 30, 1]]}, "but must be [[x, y], ...]"),
    "fractions": ({"points": [[0.1, 0.1], [0.5, 0.5]]}, "all lie between 0 and 1"),
    "far outside": ({"points": [[500, 500], [530, 530]]}, "lies outside its image"),
    "no name": ({"label": " "}, "label is ' ', but must be text"),
    "a line": ({"shape_type": "line"}, (0, "passes over 1 objects of the kind line")),
    "difficult by word": ({"difficult": "yes"}, 0),
    "flags as a list": ({"flags": ["difficult"]}, "flags is ['difficult']"),
}


def labelme(folder, shape, json_name="a.json", image="a.bmp", **more):
    put(folder / "images" / image)
    content = {"imagePath": "a.bmp", "imageWidth": WIDTH, "imageHeight": HEIGHT, "shapes": [shape], **more}
    put(folder / "json" / json_name, json.dumps(content))
    return COCODataset(str(folder / "images"), str(folder / "json"), filter_empty_gt=False)


@pytest.mark.parametrize("kind", SHAPES)
def test_labelme(tmp_path, kind):
    change, expected = SHAPES[kind]
    judge(lambda: labelme(tmp_path, {**RECTANGLE, **change}), expected)


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"json_name": "a.JSON"}, 1),
        ({"imagePath": "..\\images\\a.bmp"}, 1),
        ({"imagePath": f"{NFC}.bmp", "image": f"{NFD}.bmp"}, 1),
        ({"imageWidth": 640, "imageHeight": 480}, "was it resized after it was labelled?"),
        ({"imageWidth": HEIGHT, "imageHeight": WIDTH}, (1, "but its annotation says 48x64")),
        ({"imageHeight": "48"}, "imageHeight is the text '48'"),
        ({"shapes": {"0": RECTANGLE}}, "is no file of labelme"),
    ],
)
def test_files_of_labelme(tmp_path, more, expected):
    judge(lambda: labelme(tmp_path, RECTANGLE, **more), expected)


CVAT = {
    "turned back": (
        '<box label="car" xtl="9" ytl="9" xbr="30" ybr="20" rotation="-400"/>',
        (1, "rotation -400"),
    ),
    "turned by a comma": ('<box label="car" xtl="9" ytl="9" xbr="30" ybr="20" rotation="3,5"/>', "is '3,5'"),
    "not turned": ('<box label="car" xtl="9" ytl="9" xbr="30" ybr="20" rotation=""/>', 1),
    "reversed": ('<box label="car" xtl="30" ytl="9" xbr="9" ybr="20"/>', "negative or non-finite side"),
    "no label": ('<box xtl="9" ytl="9" xbr="30" ybr="20"/>', "box has no label"),
    "a capital box": ('<Box label="car"/>', (0, "passes over 1 objects of the kind Box")),
    "half a polygon": ('<polygon label="car" points="5,5;30,5;x"/>', "but needs x,y;x,y;x,y"),
    "resized": ('<box label="car" xtl="99" ytl="99" xbr="300" ybr="200"/>', "lies outside its image"),
}


@pytest.mark.parametrize("kind", CVAT)
def test_cvat(tmp_path, kind):
    inner, expected = CVAT[kind]
    put(tmp_path / "a.bmp")
    xml = f'<annotations><image name="a.bmp" width="64.0" height="48">{inner}</image></annotations>'
    put(tmp_path / "a.xml", xml)
    judge(lambda: COCODataset(str(tmp_path), "a.xml", filter_empty_gt=False), expected)


# Rotated boxes by roLabelImg and YOLO.

RO = """<annotation><size><width>64</width><height>48</height></size><object><name>car</name><robndbox>
<cx>30</cx><cy>20</cy><w>20</w><h>9</h><angle>0.5</angle></robndbox></object></annotation>"""
OBB = "0 .1 .1 .5 .1 .5 .6 .1 .6\n"
ROTATED = {
    "an angle the other way": (RO.replace("0.5<", "-0.5<"), 1),
    "degrees": (RO.replace("0.5<", "45<"), "angle 45, more than a full turn"),
    "a decimal comma": (RO.replace("0.5<", "0,5<"), "robndbox/angle that is '0,5'"),
    "no number": (RO.replace("0.5<", "nan<"), "which is not finite"),
    "fractions": (RO.replace("30<", ".3<").replace("20<", ".2<").replace("9<", ".1<"), "between 0 and 1"),
    "an unknown size": (RO.replace("64<", "0<"), 1),
    "a capital object": (RO.replace("object>", "Object>"), "has a <Object>, but objects are <object>"),
    "a capital class": (RO.replace("car", "Car"), "did you mean 'Car' in classes?"),
    "another box": (RO.replace("robndbox", "rbox"), "has no bndbox/xmin"),
    "YOLO's corners": (OBB, 1),
    "px": ("0 10 10 50 10 50 30 10 30\n", "YOLO's are fractions of the image"),
    "a score": (OBB.replace("\n", " 0.9\n"), "has 10 words"),
    "no class": (OBB[2:], "has 8 words"),
    "centre and angle": ("0 .5 .5 .2 .1 .3\n", "has 6 words"),
    "a corner outside": (OBB.replace(".1 .1", "-.05 .1", 1), 1),
    "a corner far outside": (OBB.replace(".1 .1", "-3 .1", 1), "holds the coordinate -3"),
}


@pytest.mark.parametrize("kind", ROTATED)
def test_rotated_boxes(tmp_path, kind):
    text, expected = ROTATED[kind]
    suffix, label_format = ("xml", "rolabelimg") if text.startswith("<") else ("txt", "yolo_obb")
    put(tmp_path / f"labels/a.{suffix}", text)
    put(tmp_path / "images/a.bmp")
    places = {"images_dir": str(tmp_path / "images"), "annotations_file": str(tmp_path / "labels")}
    options = {"label_format": label_format, "classes": ["car", "bus"], "filter_empty_gt": False}
    judge(lambda: DOTADataset(**places, **options), expected)


# Files that are no pictures.


@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "it is HEIC, as phones save it"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "it is AVIF, as phones save it"),
        (b"GIF89a", "it is a GIF"),
        (b"<html>404</html>", "it is a web page or SVG"),
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull fetches the picture"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "it is JPEG 2000"),
    ],
)
def test_what_else_a_picture_may_be_is_named(tmp_path, start, kind):
    with pytest.raises(DataError, match="no image format that is read here") as caught:
        ImageReader().size(put(tmp_path / "a.jpg", start + bytes(40)))
    assert kind in str(caught.value)


def test_the_picture_of_these_tests_is_one(tmp_path):
    assert np.array_equal(ImageReader().read(put(tmp_path / "a.bmp")), np.full((HEIGHT, WIDTH, 3), 90))
