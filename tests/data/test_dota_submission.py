"""Result zips of DOTA."""

import zipfile

import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.boxes.rotated import polys_to_xyxy, rboxes_to_polys, reorder_corners
from jld.data import DOTADataset
from jld.data.dota import (
    DOTA1_CLASSES,
    check_submission,
    read_label_file,
    truth_record,
    write_submission,
)
from jld.errors import ConfigError, DataError
from tests.real_data import real_dataset
from tests.submissions import read_submission

CLASSES = ("plane", "ship")
IMAGES = ["P1", "P2"]


@pytest.fixture
def detections():
    rng = np.random.default_rng(2)
    return [
        Detections(
            image_id,
            rboxes=np.column_stack(
                [rng.uniform(0, 99, (count, 2)), rng.uniform(5, 20, (count, 2)), rng.uniform(-2, 2, count)]
            ),
            scores=rng.random(count),
            labels=rng.integers(0, 2, count),
        )
        for image_id, count in (("P1", 6), ("P2", 3))
    ]


@pytest.mark.parametrize("style", ["mmrotate", "jdet"])
@pytest.mark.parametrize("task", [1, 2])
def test_zip_is_valid_and_reads_back(tmp_path, detections, task, style):
    path = write_submission(tmp_path / "a.zip", detections, CLASSES, task=task, style=style)
    prefix = f"Task{task}_" if style == "mmrotate" else ""
    assert zipfile.ZipFile(path).namelist() == [f"{prefix}plane.txt", f"{prefix}ship.txt"]
    report = check_submission(path, IMAGES, CLASSES, task=task, style=style)
    assert report.problems == [] and sum(report.num_detections.values()) == 9 and report.num_images == 2
    back = {record["img_id"]: record for record in read_submission(path, CLASSES, task=task, style=style)}
    for record in detections:
        order = np.argsort(-record["scores"])
        again = back[record["img_id"]]
        np.testing.assert_array_equal(again["scores"], record["scores"][order])  # every digit
        np.testing.assert_array_equal(again["labels"], record["labels"][order])
        polys = reorder_corners(rboxes_to_polys(record.rboxes))[order]
        atol = 0.0051 if style == "mmrotate" else 0.000051
        if task == 1:
            np.testing.assert_allclose(again["polys"], polys, atol=atol)
        else:
            np.testing.assert_allclose(polys_to_xyxy(again["polys"]), polys_to_xyxy(polys), atol=atol)


def test_line_format(tmp_path):
    record = Detections("P1", [0.5], [1], polys=[[10, 0, 10, 10, 0, 10, 0, 0]])
    write_submission(tmp_path / "a.zip", [record], CLASSES)
    archive = zipfile.ZipFile(tmp_path / "a.zip")
    line = "P1 0.5 0.00 0.00 10.00 0.00 10.00 10.00 0.00 10.00\n"
    assert archive.read("Task1_ship.txt").decode() == line and archive.read("Task1_plane.txt") == b""
    write_submission(tmp_path / "b.zip", [record], CLASSES, task=2)
    assert zipfile.ZipFile(tmp_path / "b.zip").read("Task2_ship.txt") == b"P1 0.5 0.00 0.00 10.00 10.00\n"
    write_submission(tmp_path / "c.zip", [record], CLASSES)
    assert (tmp_path / "c.zip").read_bytes() == (tmp_path / "a.zip").read_bytes()


def test_empty_result_is_a_valid_zip_with_a_warning(tmp_path):
    path = write_submission(tmp_path / "a.zip", [], DOTA1_CLASSES)
    assert len(zipfile.ZipFile(path).namelist()) == 15
    report = check_submission(path, IMAGES, DOTA1_CLASSES)
    assert [problem.severity for problem in report.problems] == ["warning"]
    report.raise_errors("a.zip")
    assert read_submission(path, DOTA1_CLASSES) == []


def write_zip(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return path


GOOD = "P1 0.5 0 0 10 0 10 10 0 10\n"


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"Task1_plane.txt": GOOD}, r"Task1_ship\.txt is missing"),
        ({"Task1_plane.txt": GOOD, zipfile.ZipInfo(""): ""}, r"Task1_ship\.txt is missing"),
        (
            {"Task1_plane.txt": "", "Task1_ship.txt": "", "Task1_ships.txt": ""},
            r"did you mean 'Task1_ship\.txt'",
        ),
        ({"x/Task1_plane.txt": "", "Task1_plane.txt": "", "Task1_ship.txt": ""}, "stands in a folder"),
        ({"plane.txt": "", "ship.txt": ""}, r"Task1_plane\.txt is missing"),
        (
            {"Task1_plane.txt": "P1 0.5 0 0 10 0 10 10 0\n", "Task1_ship.txt": ""},
            r"plane\.txt:1: has 9 words",
        ),
        (
            {"Task1_plane.txt": GOOD + GOOD.replace("10", "x"), "Task1_ship.txt": ""},
            r"plane\.txt:2: holds no number",
        ),
        ({"Task1_plane.txt": GOOD.replace("10", "nan"), "Task1_ship.txt": ""}, "not finite"),
        ({"Task1_plane.txt": GOOD.replace("P1", "P3"), "Task1_ship.txt": ""}, "'P3' is not in the test set"),
        (
            {"Task1_plane.txt": GOOD.replace("P1", "P1__1__0___0"), "Task1_ship.txt": ""},
            "a patch: merge first",
        ),
        ({"Task1_plane.txt": GOOD.replace("0.5", "1.5"), "Task1_ship.txt": ""}, "score 1.5"),
    ],
)
def test_problems_are_named(tmp_path, members, message):
    report = check_submission(write_zip(tmp_path / "a.zip", members), IMAGES, CLASSES)
    with pytest.raises(DataError, match=message):
        report.raise_errors("a.zip")


def test_broken_zip_flat_boxes_and_bad_names(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"no zip")
    assert "no zip" in check_submission(tmp_path / "a.zip", IMAGES, CLASSES).problems[0].message
    assert "no zip" in check_submission(tmp_path / "none.zip", IMAGES, CLASSES).problems[0].message
    flat = {"Task1_plane.txt": "P1 0.5" + " 3 3" * 4 + "\n", "Task1_ship.txt": ""}
    report = check_submission(write_zip(tmp_path / "b.zip", flat), IMAGES, CLASSES)
    assert [(problem.severity, problem.line) for problem in report.problems] == [("warning", 1)]
    spaced = Detections("P 1", [], [], polys=[])
    with pytest.raises(DataError, match="space"):
        write_submission(tmp_path / "c.zip", [spaced], CLASSES)
    with pytest.raises(ConfigError, match="tasks 1"):
        write_submission(tmp_path / "c.zip", [], CLASSES, task=3)


def test_ground_truth_of_real_images_passes_as_a_submission(tmp_path):
    truth = DOTADataset(str(real_dataset("dota_sample"))).ground_truth()
    assert [record["img_id"] for record in truth] == ["P0706", "P1888"]
    perfect = [
        Detections(r["img_id"], np.ones(len(r["labels"])), r["labels"], polys=r["polys"]) for r in truth
    ]
    report = check_submission(
        write_submission(tmp_path / "a.zip", perfect, DOTA1_CLASSES), ["P0706", "P1888"], DOTA1_CLASSES
    )
    assert report.problems == []
    assert report.num_detections["ship"] == 531 and report.num_detections["large-vehicle"] == 50


def test_ground_truth_records(tmp_path):
    (tmp_path / "a.txt").write_text("0 0 10 0 10 10 0 10 ship 1\n0 0 4 0 4 4 0 4 plane 2\n")
    (tmp_path / "b.txt").write_text("")
    annotations = [read_label_file(tmp_path / f"{name}.txt", CLASSES)[0] for name in "ab"]
    first, second = (truth_record("a", annotation, CLASSES) for annotation in annotations)
    assert first["labels"].tolist() == [1, 0] and first["is_difficult"].tolist() == [True, True]
    assert first["difficult"].tolist() == [1, 2] and first["areas"].tolist() == [100, 16]
    assert first["boxes"].tolist() == [[0, 0, 10, 10], [0, 0, 4, 4]] and second["polys"].shape == (0, 8)


def damaged(path, how):
    """A zip with one sound class and one that `how` spoils."""
    lines = "".join(f"P1 0.5 {n} 1 9 1 9 9 1 9\n" for n in range(200))
    write_zip(path, {"Task1_plane.txt": GOOD, "Task1_ship.txt": lines})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Task1_plane.txt", GOOD)
        archive.writestr("Task1_ship.txt", lines)
    data = bytearray(path.read_bytes())
    how(data, data.rfind(b"PK\x03\x04"), data.rfind(b"PK\x01\x02"))
    path.write_bytes(data)
    return path


def flip_content(data, local, central):
    data[local + 60] ^= 0x5A


def encrypt(data, local, central):
    data[local + 6] |= 1
    data[central + 8] |= 1


def unknown_compression(data, local, central):
    data[local + 8] = data[central + 10] = 97


def lie_about_size(data, local, central):
    data[central + 24 : central + 28] = b"\xff\xff\xff\x7f"


@pytest.mark.parametrize("how", [flip_content, encrypt, unknown_compression, lie_about_size])
def test_a_zip_that_cannot_be_unpacked_is_a_problem_with_its_name(tmp_path, how):
    path = damaged(tmp_path / "results.zip", how)
    problems = check_submission(path, IMAGES, CLASSES).problems
    assert any("results.zip" in str(problem) and problem.severity == "error" for problem in problems)


def test_swollen_zips_are_refused_quickly(tmp_path):
    with zipfile.ZipFile(tmp_path / "lines.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Task1_plane.txt", "\n" * (40 << 20))
        archive.writestr("Task1_ship.txt", "")
    (problem,) = check_submission(tmp_path / "lines.zip", IMAGES, CLASSES).problems
    assert "unfolds to more than" in str(problem)
    with zipfile.ZipFile(tmp_path / "short.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Task1_plane.txt", "\n" * (1 << 20))
        archive.writestr("Task1_ship.txt", "")
    assert len(check_submission(tmp_path / "short.zip", IMAGES, CLASSES).problems) == 1001


def test_lines_and_numbers_are_the_servers(tmp_path):
    members = {"Task1_plane.txt": GOOD + "P1 0.5 0 0 1_0 0 10 10 0 10\n" + GOOD, "Task1_ship.txt": ""}
    (problem,) = check_submission(write_zip(tmp_path / "a.zip", members), IMAGES, CLASSES).problems
    assert problem.line == 2 and "no number" in problem.message
    members["Task1_plane.txt"] = GOOD + "P\u20281 0.5" + GOOD.removeprefix("P1 0.5") + "x\n"
    problems = check_submission(write_zip(tmp_path / "b.zip", members), IMAGES, CLASSES).problems
    assert {problem.line for problem in problems} == {2, 3}


@pytest.mark.parametrize("name", ["../plane", "a/b", "a\\b", ".hidden", "a\nb"])
def test_classes_are_no_paths(tmp_path, name):
    with pytest.raises(ConfigError, match="cannot name a result file"):
        write_submission(tmp_path / "a.zip", [], [name])
    assert not (tmp_path / "a.zip").exists()
