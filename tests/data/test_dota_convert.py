"""HRSC2016, SSDD, FAIR1M and DIOR-R as records and folders of DOTA."""

import math
import pickle

import cv2
import numpy as np
import pytest

from jld.boxes.rotated import polys_to_rboxes
from jld.data.dota import (
    read_dior_xml,
    read_fair_xml,
    read_hrsc_xml,
    read_label_file,
    read_plan,
    read_ssdd_xml,
)
from jld.errors import ConfigError, DataError

HRSC = """<HRSC_Image><Img_SizeWidth>1000</Img_SizeWidth><HRSC_Objects>
<HRSC_Object><Class_ID>100000006</Class_ID><difficult>1</difficult>
<mbox_cx>60</mbox_cx><mbox_cy>50</mbox_cy><mbox_w>40</mbox_w><mbox_h>10</mbox_h><mbox_ang>-0.5</mbox_ang>
</HRSC_Object>
<HRSC_Object><Class_ID>100000099</Class_ID>
<mbox_cx>60</mbox_cx><mbox_cy>50</mbox_cy><mbox_w>40</mbox_w><mbox_h>10</mbox_h><mbox_ang>0</mbox_ang>
</HRSC_Object></HRSC_Objects></HRSC_Image>"""
SSDD = """<annotation>
<object><name>ship</name><difficult>0</difficult>
<bndbox><xmin>1</xmin><ymin>2</ymin><xmax>11</xmax><ymax>22</ymax></bndbox>
<rotated_bndbox><x1>1</x1><y1>2</y1><x2>11</x2><y2>2</y2>
<x3>11</x3><y3>22</y3><x4>1</x4><y4>22</y4></rotated_bndbox>
</object>
<object><name>ship</name>
<bndbox><xmin>1</xmin></bndbox></object>
</annotation>"""
FAIR_OBJECT = """<object><possibleresult><name>{name}</name></possibleresult><points>
<point>1.5,2</point><point>11,2</point><point>11,22</point><point>1, 22</point><point>1.5,2</point>
</points></object>"""
DIOR = """<annotation><object><name>Expressway-Service-area</name><difficult>0</difficult><robndbox>
<x_left_top>1</x_left_top><y_left_top>2</y_left_top><x_right_top>11</x_right_top><y_right_top>2</y_right_top>
<x_right_bottom>11</x_right_bottom><y_right_bottom>22</y_right_bottom>
<x_left_bottom>1</x_left_bottom><y_left_bottom>22</y_left_bottom></robndbox></object></annotation>"""
RECTANGLE = [1, 2, 11, 2, 11, 22, 1, 22]


def fair(*names):
    objects = "".join(FAIR_OBJECT.format(name=name) for name in names)
    return f"<annotation><objects>\n{objects}</objects></annotation>"


def write(tmp_path, text, name="a.xml"):
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_image(path, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size[1], size[0], 3), 90, np.uint8))


def test_hrsc_boxes_are_le90(tmp_path):
    annotation, problems = read_hrsc_xml(write(tmp_path, HRSC))
    assert annotation.names == ("ship", "ship") and annotation.difficult.tolist() == [1, 0] and problems == []
    np.testing.assert_allclose(
        polys_to_rboxes(annotation.polys, "le90")[0], [60, 50, 40, 10, -0.5], atol=1e-4
    )
    annotation, problems = read_hrsc_xml(write(tmp_path, HRSC), classwise=True)
    assert annotation.names == ("Enterprise",)
    assert [(problem.line, "100000099" in problem.message) for problem in problems] == [(5, True)]


def test_ssdd_corners_or_upright_boxes(tmp_path):
    path = write(tmp_path, SSDD)
    annotation, problems = read_ssdd_xml(path)
    assert annotation.polys.tolist() == [RECTANGLE]
    assert len(problems) == 1 and problems[0].line == 7 and "rotated_bndbox/x1" in problems[0].message
    annotation, problems = read_ssdd_xml(path, rotated=False)
    assert (
        annotation.polys.tolist() == [[1, 2, 1, 22, 11, 22, 11, 2]] and "bndbox/ymin" in problems[0].message
    )


def test_fair_points_and_names(tmp_path):
    annotation, problems = read_fair_xml(write(tmp_path, fair("Small Car", "Smal Car")))
    assert annotation.names == ("Small_Car",) and annotation.polys[0].tolist() == [
        1.5,
        2,
        11,
        2,
        11,
        22,
        1,
        22,
    ]
    assert len(problems) == 1 and "did you mean 'Small_Car'" in problems[0].message
    broken = fair("Bus").replace("1, 22", "1;22")
    assert "expected 'x,y'" in read_fair_xml(write(tmp_path, broken))[1][0].message


def test_dior_corners_and_lower_case_names(tmp_path):
    annotation, problems = read_dior_xml(write(tmp_path, DIOR))
    assert annotation.names == ("expressway-service-area",) and problems == []
    assert annotation.polys.tolist() == [RECTANGLE]
    wrong = DIOR.replace("<x_left_top>1<", "<x_left_top>nan<")
    assert "not finite" in read_dior_xml(write(tmp_path, wrong))[1][0].message


def test_malformed_and_missing_files_are_errors(tmp_path):
    with pytest.raises(DataError, match=r"a\.xml:1: malformed xml"):
        read_dior_xml(write(tmp_path, "<annotation><object></annotation>"))
    with pytest.raises(DataError, match="cannot be read"):
        read_dior_xml(tmp_path / "none.xml")
    annotation, problems = read_dior_xml(write(tmp_path, "<annotation/>"))
    assert len(annotation) == 0 and problems == []


def run_plan(**config):
    conversions, _ = read_plan(config)
    return [conversion.run() for conversion in conversions]


def test_fair_becomes_a_dota_source(tmp_path):
    write_image(tmp_path / "fair" / "train" / "images" / "7.tif")
    write(tmp_path, fair("Bus"), "fair/train/labelXml/7.xml")
    write_image(tmp_path / "fair" / "test" / "images" / "12.tif")
    counts = run_plan(
        type="FAIR",
        source_fair_dataset_path=tmp_path / "fair",
        source_dataset_path=tmp_path / "dota",
        target_dataset_path=tmp_path / "out",
        convert_tasks=["train", "test"],
    )
    assert counts == [1, 1] and (tmp_path / "dota" / "test" / "images" / "P0012.png").is_file()
    annotation, problems = read_label_file(tmp_path / "dota" / "train" / "labelTxt" / "P0007.txt")
    assert annotation.names == ("Bus",) and problems == []


@pytest.mark.parametrize("dataset_type", ["SSDD", "SSDD+"])
def test_ssdd_is_stretched_to_a_square(tmp_path, dataset_type):
    write_image(tmp_path / "ssdd" / "JPEGImages_test" / "000001.jpg")
    write(
        tmp_path,
        SSDD.split("<object><name>ship</name>\n", maxsplit=1)[0] + "</annotation>",
        "ssdd/Annotations_test/000001.xml",
    )
    config = {
        "type": dataset_type,
        "resize": 80,
        "source_dataset_path": tmp_path / "ssdd",
        "target_dataset_path": tmp_path / "out",
        "convert_tasks": ["test"],
    }
    assert run_plan(**config) == [1]
    assert cv2.imread(str(tmp_path / "out" / "val_80" / "images" / "000001.png")).shape == (80, 80, 3)
    annotation, _ = read_label_file(tmp_path / "out" / "val_80" / "labelTxt" / "000001.txt")
    np.testing.assert_allclose(annotation.polys.reshape(4, 2).max(0), [11 * 80 / 40, 22 * 80 / 30])
    with (tmp_path / "out" / "val_80" / "labels.pkl").open("rb") as stream:
        (entry,) = pickle.load(stream)
    assert entry["ann"]["labels"].tolist() == [1] and entry["width"] == 80
    np.testing.assert_allclose(entry["ann"]["bboxes"][0, 2:4], [20 * 80 / 30, 10 * 2], rtol=1e-6)
    assert math.isclose(entry["ann"]["bboxes"][0, 4], math.pi / 2, rel_tol=1e-6)
    assert run_plan(**config) == [1]  # a second run finds everything done


def test_hrsc_and_dior_follow_their_lists(tmp_path):
    write_image(tmp_path / "hrsc" / "FullDataSet" / "AllImages" / "100000006.bmp")
    write(tmp_path, HRSC, "hrsc/FullDataSet/Annotations/100000006.xml")
    write(tmp_path, "100000006\n", "hrsc/ImageSets/train.txt")
    common = {"target_dataset_path": tmp_path / "out", "convert_tasks": ["train"]}
    assert run_plan(type="HRSC2016", source_dataset_path=tmp_path / "hrsc", **common) == [1]
    assert len(read_label_file(tmp_path / "out" / "train" / "labelTxt" / "100000006.txt")[0]) == 2
    write_image(tmp_path / "dior" / "JPEGImages-trainval" / "00001.jpg")
    write(tmp_path, DIOR, "dior/Annotations/Oriented Bounding Boxes/00001.xml")
    write(tmp_path, "00001\n00002\n", "dior/Main/train.txt")
    with pytest.raises(DataError, match="00002 is listed"):
        run_plan(type="DIOR-R", source_dataset_path=tmp_path / "dior", **common)


def test_unusable_objects_stop_the_conversion_with_their_lines(tmp_path):
    write_image(tmp_path / "fair" / "train" / "images" / "7.tif")
    write(tmp_path, fair("Bus", "Buss"), "fair/train/labelXml/7.xml")
    with pytest.raises(DataError, match=r"7\.xml:4: object has the class 'Buss'"):
        run_plan(
            type="FAIR",
            source_fair_dataset_path=tmp_path / "fair",
            source_dataset_path=tmp_path / "dota",
            target_dataset_path=tmp_path / "out",
            convert_tasks=["train"],
        )
    assert not (tmp_path / "dota" / "train" / "labelTxt").exists()
    with pytest.raises(ConfigError, match="unknown dataset type 'UCAS'"):
        read_plan({"type": "UCAS", "source_dataset_path": "a", "target_dataset_path": "b"})
