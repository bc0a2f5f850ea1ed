"""The table of what student and teacher cost."""

from pathlib import Path

import pytest

from jld.apis.complexity import complexity, image_size, main, untrained
from jld.config import load_config
from jld.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def test_student_and_teacher_stand_beside_each_other(capsys):
    assert main([str(CONFIGS / "ld/ld_gfl_r18_from_r101_1x_coco.py"), "--size", "64x96", "--cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("one image of 64x96 px") and lines[1].split() == ["student", "teacher"]
    cells = {line[:20].strip(): [float(cell) for cell in line[20:].split()] for line in lines[2:]}
    assert set(cells) == {"parameters, M", "multiply-adds, G", "backbone", "neck", "heads"}
    # ResNets without classifier 11.18 and 42.50, pyramids 3.18 and 3.87, the head 5.06.
    assert cells["parameters, M"] == [pytest.approx(19.42), pytest.approx(51.43)]
    parts = [sum(pair) for pair in zip(cells["backbone"], cells["neck"], cells["heads"], strict=True)]
    assert cells["multiply-adds, G"] == pytest.approx(parts, abs=0.02)


def test_stages_are_timed():
    config = load_config(CONFIGS / "gfl/gfl_r18_1x_coco.py")
    config["model"]["backbone"]["base_channels"] = 8
    config["model"]["neck"].update(in_channels=[8, 16, 32, 64], out_channels=32)
    config["model"]["bbox_head"].update(in_channels=32, feat_channels=32, stacked_convs=1, num_classes=5)
    found = complexity(untrained(config), (64, 96), runs=1)
    assert list(found.milliseconds) == ["backbone", "neck", "heads", "selection"]
    assert all(value > 0 for value in found.milliseconds.values())


def test_sizes_are_height_and_width(capsys):
    assert image_size("800x1333") == (800, 1333) and image_size(None) is None
    with pytest.raises(ConfigError, match="as 800x1333"):
        image_size("800")
    assert main([str(CONFIGS / "gfl/gfl_r18_1x_coco.py"), "--size", "100x100"]) == 2
    assert "multiples of 32" in capsys.readouterr().err
