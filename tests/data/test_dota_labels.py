"""DOTA label files, class lists and patch names."""

import numpy as np
import pytest

from jld.data.dota import (
    CLASSES_BY_TYPE,
    DOTA1_CLASSES,
    PolyAnnotation,
    classes_of,
    format_objects,
    parse_patch_name,
    patch_name,
    read_label_file,
    write_label_file,
)
from jld.data.dota.labels import far_outside
from jld.errors import ConfigError, DataError
from tests.real_data import real_dataset

SQUARE = "10 10 20 10 20 20 10 20"
HEADER = "imagesource:GoogleEarth\ngsd:0.25\n"


def write(tmp_path, text):
    path = tmp_path / "P0001.txt"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "header", ["", HEADER, "imagesource:GoogleEarth\r\ngsd:null\r\n", "gsd:None\n", "\ufeff" + HEADER]
)
def test_headers_are_optional(tmp_path, header):
    annotation, problems = read_label_file(write(tmp_path, f"{header}{SQUARE} plane 1\n\n{SQUARE} ship\n"))
    assert problems == []
    assert annotation.names == ("plane", "ship") and annotation.difficult.tolist() == [1, 0]
    np.testing.assert_array_equal(annotation.polys[0], [10, 10, 20, 10, 20, 20, 10, 20])
    assert annotation.gsd == (0.25 if "0.25" in header else None)
    assert annotation.image_source == ("GoogleEarth" if "Google" in header else None)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("10 10 20 10 20 20 10 plane", "8 words"),
        (f"{SQUARE} plane 0 0", "11 words"),
        ("10 10 20 x 20 20 10 20 plane 0", "'x'"),
        ("10 10 20 nan 20 20 10 20 plane 0", "finite"),
        (f"{SQUARE} plane 3", "difficult flag '3'"),
        (f"{SQUARE} plane -1", "difficult flag '-1'"),
        (f"{SQUARE} plan 0", "did you mean 'plane'"),
    ],
)
def test_every_malformed_line_is_reported_and_the_others_are_read(tmp_path, line, reason):
    path = write(tmp_path, f"{HEADER}{SQUARE} plane 0\n{line}\n{SQUARE} ship 2\n{line}\n")
    annotation, problems = read_label_file(path, DOTA1_CLASSES)
    assert annotation.names == ("plane", "ship") and annotation.difficult.tolist() == [0, 2]
    assert [problem.line for problem in problems] == [4, 6]
    assert all(problem.severity == "error" and problem.file == str(path) for problem in problems)
    assert reason in problems[0].message


def test_unreadable_file_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"none\.txt"):
        read_label_file(tmp_path / "none.txt")


@pytest.mark.parametrize("header", [True, False])
def test_written_files_read_back(tmp_path, header):
    polys = np.random.default_rng(0).uniform(0, 100, (3, 8))
    written = PolyAnnotation.of(polys, ["ship", "plane", "ship"], [0, 1, 2], image_source="x", gsd=0.1)
    write_label_file(tmp_path / "a.txt", written, header=header)
    annotation, problems = read_label_file(tmp_path / "a.txt")
    assert problems == [] and annotation.names == written.names
    np.testing.assert_array_equal(annotation.polys, polys)
    np.testing.assert_array_equal(annotation.difficult, written.difficult)
    assert (annotation.gsd, annotation.image_source) == ((0.1, "x") if header else (None, None))


def test_empty_annotation_writes_an_empty_text(tmp_path):
    assert format_objects(PolyAnnotation.of([], [])) == ""
    annotation, problems = read_label_file(write(tmp_path, ""))
    assert len(annotation) == 0 and annotation.polys.shape == (0, 8) and problems == []


def test_labels_follow_the_class_order():
    annotation = PolyAnnotation.of(np.zeros((3, 8)), ["helicopter", "plane", "tree"])
    assert annotation.labels(DOTA1_CLASSES).tolist() == [14, 0, -1]
    assert annotation.select(np.array([False, True, True])).names == ("plane", "tree")


def test_class_lists():
    assert {name: len(classes) for name, classes in CLASSES_BY_TYPE.items()} == {
        "DOTA": 15, "DOTA1": 15, "DOTA1_5": 16, "DOTA2": 18, "FAIR": 37, "FAIR1M_1_5": 10, "SSDD": 1,
        "SSDD+": 1, "HRSC2016": 1, "DIOR-R": 20,
    }  # fmt: skip
    assert classes_of("DOTA2")[-3:] == ("container-crane", "airport", "helipad")
    assert all(" " not in name for classes in CLASSES_BY_TYPE.values() for name in classes)
    with pytest.raises(ConfigError, match="DOTA1_5"):
        classes_of("DOTA1.5")


def test_patch_names_round_trip():
    name = parse_patch_name(patch_name("P0706", 0.5, 824, 0), "jdet")
    assert (name.image_id, name.rate, name.x, name.y) == ("P0706", 0.5, 824, 0)
    assert parse_patch_name("P0706__1__0___158", "jdet").rate == 1
    assert parse_patch_name("P0706__1024__87___158", "mmrotate").rate == 1
    without_rate = parse_patch_name("a__b__87___158", "jdet")
    assert (without_rate.image_id, without_rate.rate, without_rate.x) == ("a__b", 1, 87)


def test_patch_names_that_would_mislead_are_refused():
    with pytest.raises(DataError, match="mmrotate"):
        parse_patch_name("P0706__1024__87___158", "jdet")
    with pytest.raises(DataError, match="no patch name"):
        parse_patch_name("P0706", "jdet")
    with pytest.raises(ConfigError, match="did you mean 'mmrotate'"):
        parse_patch_name("P0706__1__0___0", "mmrotat")


def test_real_files():
    folder = real_dataset("dota_sample") / "labelTxt"
    annotation, problems = read_label_file(folder / "P0706.txt", DOTA1_CLASSES)
    assert problems == [] and len(annotation) == 536 and annotation.gsd == pytest.approx(0.255589285596)
    assert annotation.names.count("harbor") == 5 and (annotation.difficult == 1).sum() == 6
    annotation, problems = read_label_file(folder / "P1888.txt", DOTA1_CLASSES)
    assert problems == [] and annotation.names.count("large-vehicle") == 50 and len(annotation) == 64


@pytest.mark.parametrize(
    ("line", "number"),
    [
        (b"1_0 10 20 10 20 20 10 20 plane 0", 3),
        ("１ 10 20 10 20 20 10 20 plane 0".encode(), 3),
        (b"0x1 10 20 10 20 20 10 20 plane 0", 3),
        (b"x:1 10 20 10 20 20 10 20 plane 0", 3),
    ],
)
def test_numbers_are_plain_and_lines_end_with_line_feeds(tmp_path, line, number):
    path = tmp_path / "P0001.txt"
    sound = SQUARE.encode() + b" plane 0"
    path.write_bytes(sound + b"\xc2\x85\n" + sound + b"\xe2\x80\xa8\r\n" + line + b"\n")
    annotation, problems = read_label_file(path, DOTA1_CLASSES)
    assert len(annotation) == 2 and [problem.line for problem in problems] == [number]
    assert repr(line.decode().split()[0]) in problems[0].message


def test_only_the_two_header_lines_are_headers(tmp_path):
    annotation, problems = read_label_file(write(tmp_path, f"\n'gsd':0.5\n{SQUARE} plane 0\ngsd:0.25\n"))
    assert annotation.gsd == 0.5 and [problem.line for problem in problems] == [4]
    for line in ("ship:3 10 20 10 20 20 10 20 plane 0", "note: by hand"):
        annotation, problems = read_label_file(write(tmp_path, f"{line}\n{SQUARE} plane 0\n"))
        assert len(annotation) == 1 and [problem.line for problem in problems] == [1]


def test_other_encodings_are_refused(tmp_path):
    path = tmp_path / "P0001.txt"
    path.write_bytes(f"{SQUARE} 飞机 0\n".encode("gbk"))
    with pytest.raises(DataError, match=r"P0001\.txt: label file is not in the encoding UTF-8"):
        read_label_file(path)


def test_corners_far_from_their_image():
    polys = np.array(
        [[0, 0, 50, 0, 50, 50, 0, 50], [-70, 0, 50, 0, 50, 50, 0, 50], [0, 0, 50, 0, 50, 1e9, 0, 50]]
    )
    assert far_outside(polys, np.array([60, 80])).tolist() == [False, False, True]
    assert far_outside(polys, np.array([[60, 80], [30, 60], [60, 80]])).tolist() == [False, True, True]
