"""Labels from every format to every other one and back: boxes, angles, marks, names; accounts; folders."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from jld.apis.convert_labels import MARK, convert_labels, is_rotated, main
from jld.boxes.rotated import pairwise_poly_iou, rboxes_to_polys, shapes_to_polys
from jld.data import LabelSource
from jld.data.dota import PolyAnnotation, write_label_file
from jld.data.label_sources import EITHER, FORMATS, ROTATED, UPRIGHT
from jld.errors import ConfigError, DataError

CLASSES = ("bus", "traffic light", "voiture-été")  # the last one without an object
WIDTH, HEIGHT = 90, 60
BOXES = [("bus", 10, 5, 40, 25, 0), ("traffic light", 50.25, 10.5, 80, 59, 1), ("bus", 2, 30, 20, 55.5, 0)]
RBOXES = np.array([[30, 25, 24, 10, 0.4], [60, 30, 10, 30, -0.7], [25, 48, 30, 8, 0]])
TRAPEZE = [55, 5, 80, 8, 78, 18, 56, 14]
# Where labels lie in the folder that a conversion makes.
PLACES = {"coco": "annotations.json", "cvat": "annotations.xml"}
MARKLESS = ("yolo", "yolo_obb")


def write_images(folder: Path, names=("a b.png", "图.png")) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        cv2.imencode(".png", np.full((HEIGHT, WIDTH, 3), 80, np.uint8))[1].tofile(folder / name)
    return folder


@pytest.fixture(scope="module")
def upright(tmp_path_factory) -> LabelSource:
    """COCO: three boxes in the first image, of which one is a crowd; none in the second."""
    folder = tmp_path_factory.mktemp("upright")
    write_images(folder / "images")
    content = {
        "images": [
            {"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT}
            for number, name in enumerate(("a b.png", "图.png"))
        ],
        "categories": [{"id": 7 + number, "name": name} for number, name in enumerate(CLASSES)],
        "annotations": [
            {
                "id": number,
                "image_id": 0,
                "category_id": 7 + CLASSES.index(name),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "iscrowd": crowd,
            }
            for number, (name, x1, y1, x2, y2, crowd) in enumerate(BOXES)
        ],
    }
    (folder / "labels.json").write_text(json.dumps(content))
    return LabelSource("coco", folder / "labels.json")


@pytest.fixture(scope="module")
def rotated(tmp_path_factory) -> LabelSource:
    """DOTA: three rectangles, of which one is difficult, and a quadrilateral; a second image without any."""
    folder = tmp_path_factory.mktemp("rotated")
    write_images(folder / "images")
    polys = [*rboxes_to_polys(RBOXES), TRAPEZE]
    names = ("bus", "traffic_light", "bus", "bus")
    write_label_file(folder / "labelTxt/a b.txt", PolyAnnotation.of(polys, names, [0, 1, 0, 0]))
    write_label_file(folder / "labelTxt/图.txt", PolyAnnotation.of([], []))
    (folder / "classes.txt").write_text("bus\ntraffic_light\nvoiture-été\n")
    return LabelSource("dota", folder)


def truths(source: LabelSource, rotated: bool):
    """(dataset, {image stem: truth})."""
    dataset, _ = source.read(rotated=rotated)
    return dataset, {Path(truth["img_file"]).stem: truth for truth in dataset.ground_truth()}


def same_shapes(first, second, tolerance):
    """Rectangles with other first corners are the same; their overlap says so."""
    assert len(first) == len(second)
    overlaps = pairwise_poly_iou(shapes_to_polys(first), shapes_to_polys(second))
    np.testing.assert_allclose(np.diag(overlaps), 1, atol=tolerance)


@pytest.mark.parametrize("middle", FORMATS)
def test_upright_boxes_survive_every_format(upright, tmp_path, middle):
    text = convert_labels(upright, middle, tmp_path / "to", boxes="upright")
    back = LabelSource(middle, tmp_path / "to" / PLACES.get(middle, ""))
    _, before = truths(upright, False)
    dataset, after = truths(back, middle in ROTATED)
    marked = np.array([item[5] for item in BOXES], bool)
    kept = ~marked if middle in MARKLESS else np.ones(len(BOXES), bool)
    assert {name.replace("_", " ") for name in dataset.classes} == set(CLASSES)
    names = [dataset.classes[label].replace("_", " ") for label in after["a b"]["labels"]]
    assert names == [item[0] for item, keep in zip(BOXES, kept, strict=True) if keep]
    atol = 0.5 if middle == "voc" else 1e-4
    np.testing.assert_allclose(after["a b"]["boxes"], before["a b"]["boxes"][kept], atol=atol + 1e-9)
    is_marked = after["a b"]["is_crowd"] | after["a b"]["is_difficult"]
    assert is_marked.tolist() == marked[kept].tolist()
    assert len(after["图"]["labels"]) == 0 and len(after) == 2
    assert f"3 objects\n{middle} {tmp_path / 'to'}: 2 images, {kept.sum()} objects of 3 classes" in text
    assert ("dropped: 1 crowds and difficult objects" in text) == (middle in MARKLESS)
    assert ("2 boxes rounded to whole px" in text) == (middle == "voc")
    assert (
        "without an object: traffic light, voiture-été" in text
        and (tmp_path / "to" / MARK).read_text() == f"{text}\n"
    )
    assert dataset.account().objects == kept.sum() and not [
        problem for problem in dataset.problems if problem.severity == "error"
    ]


@pytest.mark.parametrize("middle", [*ROTATED, *EITHER])
def test_angles_survive_every_format_that_has_them(rotated, tmp_path, middle):
    convert_labels(rotated, middle, tmp_path / "to")
    back = LabelSource(middle, tmp_path / "to" / PLACES.get(middle, ""))
    convert_labels(back, "dota", tmp_path / "back", boxes="rotated")
    _, before = truths(rotated, True)
    dataset, after = truths(LabelSource("dota", tmp_path / "back"), True)
    kept = np.array([True, middle not in MARKLESS, True, True])
    assert dataset.classes == ("bus", "traffic_light", "voiture-été")
    assert after["a b"]["labels"].tolist() == before["a b"]["labels"][kept].tolist()
    assert after["a b"]["difficult"].tolist() == before["a b"]["difficult"][kept].tolist()
    rectangles = kept & [True, True, True, middle != "rolabelimg"]  # it has no other quadrilaterals
    same = rectangles[kept]
    same_shapes(after["a b"]["polys"][same], before["a b"]["polys"][rectangles], 1e-4)
    if middle == "rolabelimg":
        said = (tmp_path / "to" / MARK).read_text()
        assert "1 quadrilaterals that became the smallest rectangles around them" in said
    assert not len(after["图"]["labels"])


@pytest.mark.parametrize("to", [*UPRIGHT, "coco"])
def test_rotated_boxes_become_the_upright_ones_around_them(rotated, tmp_path, to):
    convert_labels(rotated, to, tmp_path / "to", boxes="upright" if to == "coco" else None, one_based=False)
    back = LabelSource(to, tmp_path / "to" / PLACES.get(to, ""), one_based=False)
    _, before = truths(rotated, True)
    _, after = truths(back, False)
    kept = [0, 2, 3] if to in MARKLESS else [0, 1, 2, 3]
    np.testing.assert_allclose(after["a b"]["boxes"], before["a b"]["boxes"][kept], atol=1e-4)


def test_a_box_of_cvat_turns_as_the_tool_shows_it(rotated, tmp_path):
    convert_labels(rotated, "cvat", tmp_path / "to")
    text = (tmp_path / "to/annotations.xml").read_text()
    found = re.findall(r'xtl="(.*?)" ytl="(.*?)" xbr="(.*?)" ybr="(.*?)" rotation="(.*?)"', text)
    values = np.array(found, float)
    np.testing.assert_allclose(values[0], [18, 20, 42, 30, np.degrees(0.4)], atol=1e-4)
    assert text.count("<box") == 3 and text.count("<polygon") == 1


def test_which_boxes_are_meant():
    assert is_rotated("dota", "coco") and is_rotated("cvat", "yolo_obb") and is_rotated("dota", "voc")
    assert not any(
        is_rotated(source, to) for source, to in (("voc", "dota"), ("coco", "cvat"), ("yolo", "voc"))
    )


def test_folders_are_replaced_only_if_they_were_made_here(upright, tmp_path):
    target = tmp_path / "to"
    convert_labels(upright, "yolo", target)
    assert (target / "images/a b.png").is_symlink()
    with pytest.raises(DataError, match="--force replaces it"):
        convert_labels(upright, "yolo", target)
    convert_labels(upright, "voc", target, force=True, placing="copy")
    assert {path.name for path in target.iterdir()} == {
        "Annotations", "ImageSets", "JPEGImages", "classes.txt", MARK,
    }  # fmt: skip
    assert not (target / "JPEGImages/a b.png").is_symlink()
    own = tmp_path / "own"
    own.mkdir()
    (own / "photo.txt").write_text("mine")
    with pytest.raises(DataError, match="was not made by a conversion"):
        convert_labels(upright, "yolo", own, force=True)
    with pytest.raises(DataError, match="holds the labels that are to be converted"):
        convert_labels(LabelSource("voc", target), "yolo", target, force=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own", "to"]


def test_nothing_is_left_of_a_conversion_that_fails(upright, tmp_path):
    for name in ("a/x.png", "b/x.png", "a_x.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "in" / name), np.zeros((50, 50, 3), np.uint8))
    (tmp_path / "labels").mkdir()
    source = LabelSource("yolo", tmp_path, images=tmp_path / "in", classes=["bus"])
    assert "3 images named by their folders too" not in convert_labels(source, "coco", tmp_path / "coco")
    with pytest.raises(DataError, match="would share their labels"):
        convert_labels(source, "voc", tmp_path / "voc")
    assert {path.name for path in tmp_path.iterdir()} == {"in", "labels", "coco"}
    (tmp_path / "in/a_x.png").unlink()
    said = convert_labels(source, "voc", tmp_path / "voc", placing="none")
    assert "changed: 2 images named by their folders too, first: a/x.png" in said
    assert (tmp_path / "voc/ImageSets/Main/trainval.txt").read_text() == "a_x\nb_x\n"


def test_what_cannot_be_used_stops_or_is_counted(tmp_path):
    write_images(tmp_path / "images")
    for stem, line in (("a b", "0 0.5 0.5 0.2 0.2\n9 0.1 0.1 0.1 0.1\n"), ("图", "0 0.99 0.5 0.03 0.2\n")):
        (tmp_path / "labels").mkdir(exist_ok=True)
        (tmp_path / f"labels/{stem}.txt").write_text(line)
    source = LabelSource("yolo", tmp_path, classes=["bus"])
    with pytest.raises(DataError, match=r"a b\.txt:2: has the class number 9"):
        convert_labels(source, "yolo", tmp_path / "to")
    lenient = LabelSource("yolo", tmp_path, classes=["bus"], strict=False)
    text = convert_labels(lenient, "yolo", tmp_path / "to")
    assert "images, 3 objects\n" in text and "2 images, 2 objects of 1 classes" in text
    assert "dropped: 1 that cannot be used" in text and "changed: 1 boxes cut to their image" in text


def test_pictures_that_are_turned_are_read_as_their_labels_mean(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "images").mkdir()
    (tmp_path / "labels").mkdir()
    Image.new("RGB", (80, 50)).save(tmp_path / "images/a.jpg", exif=exif)
    (tmp_path / "labels/a.txt").write_text("0 0.5 0.5 0.5 0.5\n")
    for orientation, box in (("exif", [12.5, 20, 25, 40]), ("stored", [20, 12.5, 40, 25])):
        source = LabelSource("yolo", tmp_path, classes=["bus"], orientation=orientation)
        convert_labels(source, "coco", tmp_path / orientation)
        content = json.loads((tmp_path / orientation / "annotations.json").read_text())
        assert content["annotations"][0]["bbox"] == box


def test_images_stay_below_the_folder_whatever_their_names_say(tmp_path):
    write_images(tmp_path / "photos", ["a.png"])
    (tmp_path / "in/images").mkdir(parents=True)
    content = {
        "images": [{"id": 1, "file_name": "../../photos/a.png", "width": WIDTH, "height": HEIGHT}],
        "categories": [{"id": 1, "name": "bus"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 30, 40]}],
    }
    (tmp_path / "in/labels.json").write_text(json.dumps(content))
    convert_labels(LabelSource("coco", tmp_path / "in/labels.json"), "labelme", tmp_path / "to")
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == [
        "a.json",
        "a.png",
        MARK,
        "labels.txt",
    ]
    write_images(tmp_path / "odd/images", ["a\u2028b.png"])
    (tmp_path / "odd/labels").mkdir()
    with pytest.raises(DataError, match="cannot hold this name"):
        convert_labels(LabelSource("yolo", tmp_path / "odd", classes=["bus"]), "voc", tmp_path / "voc")


def test_names_without_spaces_must_stay_apart(upright, tmp_path):
    content = json.loads(upright.path.read_text())
    content["categories"][2]["name"] = "traffic_light"
    (tmp_path / "labels.json").write_text(json.dumps(content))
    source = LabelSource("coco", tmp_path / "labels.json", images=upright.path.parent / "images")
    with pytest.raises(DataError, match=r"two of .* are the same"):
        convert_labels(source, "dota", tmp_path / "to")
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("kind", ["coco", "cvat"])
def test_a_folder_that_was_made_is_a_source(upright, tmp_path, kind):
    convert_labels(upright, kind, tmp_path / "made")
    source = LabelSource(kind, tmp_path / "made")
    assert source.path.parent == tmp_path / "made"
    assert "voc" in convert_labels(source, "voc", tmp_path / "back")


def test_sources_and_options_that_cannot_be(upright, tmp_path):
    for kind, path, reason in (
        ("voc", upright.path, "voc labels are a folder"),
        ("coco", tmp_path, "coco labels are an annotation file"),
        ("voc", tmp_path / "none", "does not exist"),
    ):
        with pytest.raises(DataError, match=reason):
            LabelSource(kind, path)
    with pytest.raises(ConfigError, match="did you mean 'yolo_obb'"):
        LabelSource("yolo-obb", tmp_path)
    with pytest.raises(ConfigError, match="boxes is 'round'"):
        convert_labels(upright, "voc", tmp_path / "to", boxes="round")
    with pytest.raises(ConfigError, match="yolo has no rotated boxes"):
        LabelSource("yolo", tmp_path).read(rotated=True)


def test_the_command_prints_the_account_without_jittor(upright, tmp_path):
    tool = Path(__file__).resolve().parents[2] / "tools/convert_labels.py"
    words = [str(upright.path), str(tmp_path / "to"), "--from", "coco", "--to", "labelme"]
    code = f"import sys, runpy; sys.argv[1:] = {words!r}; sys.modules['jittor'] = None\n"
    code += f"runpy.run_path({str(tool)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "2 images, 3 objects of 3 classes" in done.stdout, done.stderr


def test_errors_of_the_command_are_sentences(upright, tmp_path, capsys):
    assert main([str(upright.path), str(tmp_path / "to"), "--from", "coco", "--to", "pascal"]) == 2
    assert "jld: label format 'pascal' is not known" in capsys.readouterr().err
