"""YOLO's label files, upright and with four corners; names of class numbers; roLabelImg; oriented COCO."""

import json

import cv2
import numpy as np
import pytest

from jld.boxes.rotated import polys_to_rboxes
from jld.data import DOTADataset, YOLODataset
from jld.data.dota import read_plan, read_rolabelimg_xml, split_dataset
from jld.data.problems import errors_of
from jld.errors import ConfigError, DataError

WIDTH, HEIGHT = 80, 50


def write(path, text=None):
    """A text file, or a picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is None:
        cv2.imwrite(str(path), np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    else:
        path.write_text(text)
    return path


@pytest.fixture
def yolo(tmp_path):
    """images/train, labels/train and data.yaml of two images with objects and one without a file."""
    for name in ("a", "deep/b", "c"):
        write(tmp_path / f"images/train/{name}.png")
    write(tmp_path / "labels/train/a.txt", "2 0.5 0.5 0.25 0.4\n\n0 0.1 0.9 0.1 0.1\n")
    write(tmp_path / "labels/train/deep/b.txt", "1.0 0.25 0.5 0.5 1.000001\r\n")
    write(tmp_path / "data.yaml", "train: images/train\nnc: 3\nnames: [bus, van, 'traffic light']\n")
    return tmp_path


def upright(folder, **options):
    return YOLODataset(str(folder / "images/train"), filter_empty_gt=False, **options)


def test_upright_boxes_are_fractions_of_their_image(yolo):
    data = upright(yolo)
    assert data.classes == ("bus", "van", "traffic light") and data.image_ids == [
        "a.png",
        "c.png",
        "deep/b.png",
    ]
    first, _, last = data.ground_truth()
    np.testing.assert_allclose(first["boxes"], [[30, 15, 50, 35], [4, 42.5, 12, 47.5]])
    np.testing.assert_allclose(last["boxes"], [[0, 0, 40, 50]], atol=1e-4)
    assert first["labels"].tolist() == [2, 0] and last["labels"].tolist() == [1]
    (said,) = data.problems
    assert (
        said.severity == "warning"
        and "1 images have no label file" in said.message
        and "c.png" in said.message
    )
    assert data.account().trained == 3 and data.get(0, np.random.default_rng(0))["boxes"].shape == (2, 4)


def test_the_names_of_numbers_come_from_the_files_and_classes_choose(yolo):
    data = upright(yolo, classes=["traffic light", "bus"])
    assert data.ground_truth()[0]["labels"].tolist() == [0, 1]
    assert "1 of the category van" in data.account().describe()
    with pytest.raises(DataError, match=r"data\.yaml has no class 'traffic_light'.*'traffic light'"):
        upright(yolo, classes=["traffic_light"])
    (yolo / "data.yaml").write_text("names: {0: bus, 1: van, 2: tram}\n")
    assert upright(yolo).classes == ("bus", "van", "tram")
    (yolo / "data.yaml").unlink()
    with pytest.raises(DataError, match=r"no data\.yaml, .*classes\.txt.* give `classes`"):
        upright(yolo)
    assert upright(yolo, classes=["x", "y", "z"]).ground_truth()[0]["labels"].tolist() == [2, 0]
    write(yolo / "labels/train/classes.txt", "bus\nvan\n")
    with pytest.raises(
        DataError, match=r"a\.txt:1: has the class number 2, but there are the 2 classes 0 bus, 1 van"
    ):
        upright(yolo)


@pytest.mark.parametrize(
    "text",
    [
        "names: 7",
        "names: [a, a, b]",
        "names: {0: a, 2: b}",
        "nc: 2\nnames: [a, b, c]",
        "names: [",
        "- a",
        "names: ['']",
    ],
)
def test_a_description_without_names_is_refused(yolo, text):
    (yolo / "data.yaml").write_text(text)
    with pytest.raises(DataError, match=r"data\.yaml"):
        upright(yolo)


LINES = {
    "2 40 25 20 20": "coordinate 40; YOLO's are fractions",
    "2 0.5 0.5 0.25": "4 words, no object",
    "2 0.5 0.5 0.25 0.4 0.9": "a detection with its score",
    "2 0.1 0.1 0.4 0.1 0.4 0.4 0.1 0.4": "a box of four corners",
    "2 0.1 0.1 0.4 0.1 0.4 0.4": "a polygon",
    "3 0.5 0.5 0.2 0.2": "class number 3",
    "-1 0.5 0.5 0.2 0.2": "class number -1",
    "0.5 0.5 0.5 0.2 0.2": "class number 0.5",
    "bus 0.5 0.5 0.2 0.2": "class number that is 'bus'",
    "2 nan 0.5 0.2 0.2": "not finite",
    "2 0.5 0,5 0.2 0.2": "no number",
}


def test_lines_that_are_no_objects_are_refused_with_file_and_line(yolo):
    write(yolo / "labels/train/c.txt", "\n".join(LINES) + "\n1 0.5 0.5 0.5 0.5\n")
    write(yolo / "labels/train/of_none.txt", "")
    data = upright(yolo, strict=False)
    found = [problem for problem in errors_of(data.problems) if problem.line]
    assert [problem.line for problem in found] == list(range(1, len(LINES) + 1))
    for problem, reason in zip(found, LINES.values(), strict=True):
        assert reason in problem.message
    assert any("of_none.txt" in problem.file for problem in errors_of(data.problems))
    account = data.account()
    assert account.trained == 4 and account.dropped.counts == {"that cannot be used": len(LINES)}
    with pytest.raises(DataError, match=rf"{len(LINES) + 1} problems"):
        upright(yolo)


def test_two_images_of_one_label_file_are_refused(yolo):
    cv2.imwrite(str(yolo / "images/train/a.jpg"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    with pytest.raises(DataError, match=r"a\.png: has the same label file as a\.jpg"):
        upright(yolo)


def oriented(folder, annotations, **options):
    options = {"filter_empty_gt": False, "angle_version": "oc"} | options
    return DOTADataset(
        images_dir=str(folder / "images"), annotations_file=str(folder / annotations), **options
    )


@pytest.fixture
def obb(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / f"images/{name}.png")
    write(
        tmp_path / "labels/a.txt",
        "1 0.25 0.2 0.5 0.2 0.5 0.6 0.25 0.6\n0 0.9 0.9 1.05 0.9 1.05 1.1 0.9 1.1\n",
    )
    write(tmp_path / "labels/classes.txt", "ship\nplane\n")
    return tmp_path


def test_corners_of_yolo_are_fractions_and_may_cross_the_border(obb):
    data = oriented(obb, "labels", label_format="yolo_obb")
    assert data.classes == ("ship", "plane")
    first, second = data.ground_truth()
    np.testing.assert_allclose(first["polys"][0], [20, 10, 40, 10, 40, 30, 20, 30])
    np.testing.assert_allclose(first["polys"][1, :2], [72, 45])
    assert first["labels"].tolist() == [1, 0] and not len(second["labels"])
    assert any("1 images have no label file" in problem.message for problem in data.problems)
    chosen = oriented(obb, "labels", label_format="yolo_obb", classes=["plane"])
    assert chosen.ground_truth()[0]["labels"].tolist() == [0]
    assert "1 of the class ship" in chosen.account().describe()


def test_other_lines_of_yolo_and_formats_that_do_not_fit_are_refused(obb):
    write(obb / "labels/b.txt", "1 0.5 0.5 0.2 0.2\n1 20 10 40 10 40 30 20 30\n")
    with pytest.raises(DataError, match=r"b\.txt:1: has 5 words, an upright box; expected 9") as caught:
        oriented(obb, "labels", label_format="yolo_obb")
    assert "b.txt:2: holds the coordinate 20;" in str(caught.value)
    with pytest.raises(ConfigError, match="label_format is 'yolo-obb': did you mean 'yolo_obb'"):
        oriented(obb, "labels", label_format="yolo-obb")


def cut(folder, **changes):
    config = {
        "type": "DOTA",
        "source_dataset_path": folder / "source",
        "target_dataset_path": folder / "cut",
        "classes": ["plane", "ship"],
        "label_format": "yolo_obb",
        "tasks": [{"label": "train", "config": {"subimage_size": 64, "overlap_size": 16}}],
    }
    _, (task,) = read_plan(config | changes)
    split_dataset(task.sources(), task.target, task.settings, classes=task.classes)
    return task.target


def test_labels_of_yolo_are_cut_into_patches(obb):
    (obb / "source").mkdir()
    for name in ("images", "labels"):
        (obb / name).rename(write(obb / "source/train/x", "").parent / name)
    target = cut(obb)
    assert not (obb / "source/train/labelTxt").exists()
    data = DOTADataset(str(target), classes=["plane", "ship"], filter_empty_gt=False)
    whole = {truth["img_id"]: truth for truth in data.whole_ground_truth(["a", "b"])}
    np.testing.assert_allclose(whole["a"]["polys"][0], [20, 10, 40, 10, 40, 30, 20, 30])
    assert whole["a"]["labels"].tolist() == [0, 1] and not len(whole["b"]["labels"])
    before = [path.stat().st_mtime_ns for path in sorted(target.rglob("*.png"))]
    assert cut(obb) == target and before == [
        path.stat().st_mtime_ns for path in sorted(target.rglob("*.png"))
    ]
    assert data.account().trained >= 2 and set(data.classes) == {"plane", "ship"}
    write(obb / "source/train/labels/b.txt", "1 0.5 0.5 0.2 0.2\n")
    with pytest.raises(DataError, match=r"b\.txt:1: has 5 words, an upright box"):
        cut(obb)
    write(obb / "source/train/labels/classes.txt", "ship\nbig plane\n")
    with pytest.raises(DataError, match="class 'big plane' holds a space"):
        cut(obb, classes=["ship", "big plane"])
    with pytest.raises(ConfigError, match="label_format is 'yolo': did you mean 'yolo_obb'"):
        cut(obb, label_format="yolo")


ROLABELIMG = """<annotation><size><width>80</width><height>50</height></size>
<object><type>robndbox</type><name>ship</name><difficult>1</difficult>
<robndbox><cx>30.5</cx><cy>20</cy><w>24</w><h>8</h><angle>0.7</angle></robndbox></object>
<object><type>bndbox</type><name>buoy</name>
<bndbox><xmin>50</xmin><ymin>10</ymin><xmax>60</xmax><ymax>18</ymax></bndbox></object></annotation>"""


def test_rolabelimg_turns_clockwise(tmp_path):
    write(tmp_path / "images/a.png")
    write(tmp_path / "xml/a.xml", ROLABELIMG)
    data = oriented(
        tmp_path, "xml", label_format="rolabelimg", classes=["ship", "buoy"], angle_version="le90"
    )
    (truth,) = data.ground_truth()
    np.testing.assert_allclose(truth["rboxes"][0], [30.5, 20, 24, 8, 0.7], atol=1e-4)
    assert truth["boxes"][1].tolist() == [50, 10, 60, 18] and truth["difficult"].tolist() == [1, 0]
    # The long side goes down to the right, as an angle of 40 degrees clockwise does on the screen.
    x, y = truth["polys"][0].reshape(4, 2)[np.argmax(truth["polys"][0][::2])]
    assert x > 30.5 and y > 20
    with pytest.raises(ConfigError, match="give `classes`"):
        oriented(tmp_path, "xml", label_format="rolabelimg")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("0.7<", "40<", "angle 40, more than a full turn"),
        ("<w>24<", "<w>-24<", "negative side"),
        ("<cx>30.5<", "<cx>1_0<", "no number"),
        ("<name>ship</name>", "<name>ship</name><name>tug</name>", "has 2 name"),
        ("<cy>20</cy>", "", "no robndbox/cy"),
        ("<difficult>1<", "<difficult>2<", "difficult that is '2'"),
        ("<robndbox>", "<robndbox><cx>1</cx></robndbox><robndbox>", "has 2 robndbox;"),
        ("</annotation>", "<Object/></annotation>", "has a <Object>, but objects are <object>"),
        ("<width>80<", "<width>50<", "says 50 x 50 px"),
    ],
)
def test_what_rolabelimg_cannot_mean_is_refused(tmp_path, old, new, reason):
    assert old in ROLABELIMG
    _, problems = read_rolabelimg_xml(
        write(tmp_path / "a.xml", ROLABELIMG.replace(old, new)), (HEIGHT, WIDTH)
    )
    assert [reason in problem.message for problem in problems] == [True]


BOX = {"id": 5, "image_id": 1, "category_id": 2, "iscrowd": 0, "bbox": [10, 10, 30, 10]}
TRIANGLE = [10, 10, 40, 10, 40, 25]


def write_json(folder, *objects):
    write(folder / "images/a.png")
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 2, "name": "ship"}, {"id": 9, "name": "plane"}],
        "annotations": [{**BOX, "id": 5 + number, **each} for number, each in enumerate(objects)],
    }
    write(folder / "coco.json", json.dumps(content))
    return folder


def test_coco_exports_give_rotated_boxes(tmp_path):
    corners = [10, 20, 20, 10, 30, 20, 20, 30]
    write_json(
        tmp_path,
        {"attributes": {"rotation": 30.0}, "segmentation": []},
        {"segmentation": [corners]},
        {"segmentation": corners, "bbox": None, "category_id": 9, "iscrowd": 1},
        {"segmentation": [TRIANGLE]},
        {"segmentation": {"counts": "abc", "size": [50, 80]}},
    )
    data = oriented(tmp_path, "coco.json", angle_version="le90")
    assert data.classes == ("ship", "plane")
    (truth,) = data.ground_truth()
    np.testing.assert_allclose(truth["rboxes"][0], [25, 15, 30, 10, np.pi / 6], atol=1e-4)
    assert truth["polys"][1].tolist() == corners == truth["polys"][2].tolist()
    assert truth["labels"].tolist() == [0, 0, 1, 0, 0] and truth["difficult"].tolist() == [0, 0, 1, 0, 0]
    np.testing.assert_allclose(truth["boxes"][4], [10, 10, 40, 20])
    wanted = cv2.boxPoints(cv2.minAreaRect(np.array(TRIANGLE, np.float32).reshape(3, 2)))
    areas = polys_to_rboxes(np.array([wanted.reshape(-1), truth["polys"][3]]), "le90")[:, 2:4].prod(1)
    assert areas[0] == pytest.approx(areas[1])
    said = " ".join(problem.message for problem in data.problems)
    assert (
        "1 polygons, which become the smallest" in said and "1 objects with neither angle nor polygon" in said
    )
    assert data.account().describe().startswith("1 images: 1 used\n5 objects: 4 trained on, 1 ignored")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"segmentation": [[1, 2, 3, 4]]}, "must be polygons"),
        ({"segmentation": [[1, 2, 3, 4, 5, "6"]]}, "must be a number"),
        ({"segmentation": "polygon"}, "must be polygons"),
        ({"bbox": None}, "neither a polygon nor a bbox"),
        ({"bbox": [1, 2, -3, 4]}, "negative"),
        ({"attributes": {"rotation": "north"}}, "rotation that is 'north'"),
        ({"image_id": 8}, "image_id 8, which the file does not list"),
        ({"category_id": 3}, "category_id 3, which the file does not list"),
        ({"iscrowd": 2}, "yes or no"),
    ],
)
def test_objects_of_coco_exports_that_cannot_be_used_are_named(tmp_path, change, reason):
    write_json(tmp_path, {"segmentation": [TRIANGLE]}, change)
    with pytest.raises(DataError, match=reason):
        oriented(tmp_path, "coco.json")
    data = oriented(tmp_path, "coco.json", strict=False)
    assert data.account().objects == 2 and data.account().dropped.counts == {"that cannot be used": 1}


def test_rectangles_of_coco_exports_in_another_form_or_unit_are_doubted(tmp_path):
    turned = write_json(tmp_path, *[{"rotation": 0.1 * number} for number in range(1, 12)])
    (said,) = [each for each in oriented(turned, "coco.json").problems if "radians" in each.message]
    assert "holds 11 rotated rectangles, all by less than 6.3" in said.message
    corners = write_json(tmp_path / "2", *[{"bbox": [20, 9, 50 + number, 45]} for number in range(20)])
    with pytest.raises(DataError, match=r"but not as \[x1, y1, x2, y2\]: convert them"):
        oriented(corners, "coco.json")


def test_categories_of_coco_exports_can_be_chosen(tmp_path):
    write_json(tmp_path, {"segmentation": [TRIANGLE]}, {"category_id": 9})
    data = oriented(tmp_path, "coco.json", classes=["plane"])
    assert data.account().trained == 1 and "1 of the category ship" in data.account().describe()
    with pytest.raises(DataError, match="has no category 'plain'"):
        oriented(tmp_path, "coco.json", classes=["plain"])
