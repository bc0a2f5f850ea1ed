"""Numbers about labels against counts by hand, for upright and rotated boxes; the picture; the command."""

import cv2
import numpy as np
import pytest

from jld.apis.label_stats import main
from jld.boxes.rotated import rboxes_to_polys
from jld.data import COCODataset, DOTADataset
from jld.data.dota import PolyAnnotation, write_label_file
from jld.data.label_statistics import LabelStatistics
from tests.tiny_data import write_coco


@pytest.fixture
def tiny(tmp_path):
    return write_coco(tmp_path / "coco")


def test_upright_boxes_are_counted(tiny):
    images, file = tiny
    found = LabelStatistics.of(COCODataset(str(images), str(file), filter_empty_gt=False))
    assert found.objects_per_image.tolist() == [2, 1, 0, 3] and found.angles is None
    np.testing.assert_allclose(found.ratios[:2], [20 / 25, 25 / 28])
    # 20x25, 25x28, 20x40, 64x36, 8x12 and 20x12 px: only 64 * 36 reaches 32 * 32
    assert found.size_index.tolist() == [0, 0, 0, 1, 0, 0]
    lines = found.table().splitlines()
    assert [line.split()[:7] for line in lines[1:4]] == [
        ["cat", "3", "2", "0", "2", "1", "0"],
        ["dog", "3", "3", "0", "3", "0", "0"],
        ["all", "6", "3", "0", "5", "1", "0"],
    ]
    assert lines[1].split()[7:] == ["20", "x", "25", "0.80"]
    assert "4 images of 55 x 45 px (medians), 1 without an object; objects per image: 1.5" in lines[-1]


def test_classes_without_objects_and_ignored_objects_have_their_row(tmp_path):
    images, file = write_coco(tmp_path / "coco", [((60, 40), [("cat", 5, 5, 25, 30)])])
    file.write_text(file.read_text().replace('"iscrowd": 0', '"iscrowd": 1'))
    table = LabelStatistics.of(COCODataset(str(images), str(file), filter_empty_gt=False)).table()
    assert [line.split() for line in table.splitlines()[1:3]] == [
        ["cat", "0", "0", "1", "0", "0", "0", "-", "-"],
        ["dog", "0", "0", "0", "0", "0", "0", "-", "-"],
    ]


@pytest.fixture
def turned(tmp_path):
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images/a.png"), np.zeros((99, 99, 3), np.uint8))
    rboxes = np.array([[40, 40, 30, 10, 0.5], [40, 40, 10, 30, 0.5]])
    annotation = PolyAnnotation.of(rboxes_to_polys(rboxes), ["ship", "ship"])
    write_label_file(tmp_path / "labelTxt/a.txt", annotation)
    return tmp_path


@pytest.mark.parametrize("version", ["le90", "le135", "oc"])
def test_angles_are_those_of_the_longer_side(turned, version):
    found = LabelStatistics.of(DOTADataset(str(turned), classes=["ship"], angle_version=version))
    np.testing.assert_allclose(found.sides, [[30, 10], [30, 10]], atol=1e-3)
    np.testing.assert_allclose(found.angles, np.degrees([0.5, 0.5 - np.pi / 2]), atol=1e-3)


def test_the_command_reads_labels_and_configs(turned, tiny, tmp_path, capsys):
    assert main([str(turned), "--from", "dota", "--out", str(tmp_path / "stats.png")]) == 0
    assert "long x short px" in capsys.readouterr().out
    picture = cv2.imread(str(tmp_path / "stats.png"))
    blue = (picture == [178, 114, 0]).all(-1)  # bars: in the class panel, and in that of the angles
    assert picture.shape == (700, 1200, 3) and blue[:350, :400].any() and blue[350:, 800:].any()
    config = tmp_path / "mine.py"
    section = f"dict(type='COCODataset', root={str(tiny[0])!r}, anno_file={str(tiny[1])!r}, batch_size=2)"
    config.write_text(f"dataset = dict(val={section})\n")
    assert main([str(config), "val"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("4 images: 3 used, 1 left out") and "\ndog " in said
    for words, reason in (
        ([str(config), "train"], "no dataset.train"),
        ([str(turned)], "say the format of the labels with --from"),
    ):
        assert main(words) == 2
        assert reason in capsys.readouterr().err
