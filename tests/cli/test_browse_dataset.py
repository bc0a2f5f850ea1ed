"""tools/browse_dataset.py from the command line, on drawn data."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from jld.data import DrawnOrientedDataset
from jld.visualization.canvas import class_color

TOOL = Path(__file__).resolve().parents[2] / "tools" / "browse_dataset.py"
CONFIG = """
dataset = dict(
    train=dict(
        type="DrawnDataset", num_images=4, batch_size=2, shuffle=True,
        transforms=[
            dict(type="Resize", min_size=160, max_size=160),
            dict(type="Normalize", mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0], to_rgb=True),
            dict(type="Pad", size_divisor=32),
        ],
    )
)
"""


def run(tmp_path, *arguments):
    (tmp_path / "config.py").write_text(CONFIG)
    return subprocess.run(
        [sys.executable, str(TOOL), "config.py", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("flags", "side"), [((), 160), (("--original",), 128)])
def test_pictures_are_written(tmp_path, flags, side):
    result = run(tmp_path, "train", "--save_dir", "out", "--num", "3", *flags)
    assert result.returncode == 0, result.stderr
    assert "3 of 4 images" in result.stdout
    files = sorted((tmp_path / "out").iterdir())
    assert [file.name for file in files] == ["000000.png", "000001.png", "000002.png"]
    pictures = [cv2.imread(str(file)) for file in files]
    assert {picture.shape for picture in pictures} == {(side, side, 3)}
    colors = [class_color(label) for label in range(5)]
    assert any((picture == color).all(-1).any() for picture in pictures for color in colors)


@pytest.mark.parametrize("flags", [(), ("--original",)])
def test_masks_are_drawn(tmp_path, flags):
    pictures = {}
    for name, config in (("boxes", CONFIG), ("masks", CONFIG.replace("batch_size=2", "with_masks=True"))):
        (tmp_path / "config.py").write_text(config)
        arguments = ["config.py", "train", "--save_dir", name, "--num", "1", *flags]
        command = [sys.executable, str(TOOL), *arguments]
        assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
        pictures[name] = cv2.imread(str(tmp_path / name / "000000.png")).astype(int)
    veiled = (np.abs(pictures["boxes"] - pictures["masks"]) > 8).any(-1).mean()
    assert 0.01 < veiled < 0.5


def test_unknown_split(tmp_path):
    result = run(tmp_path, "trian")
    assert result.returncode == 2
    assert result.stderr == "jld: the config has no dataset.trian: did you mean 'train'?\n"


@pytest.mark.parametrize("flags", [(), ("--original",)])
def test_rotated_boxes_are_drawn_as_they_lie(tmp_path, flags):
    text = """
dataset = dict(
    train=dict(
        type="DrawnOrientedDataset", num_images=3, batch_size=1,
        transforms=[
            dict(type="RotatedResize", min_size=128, max_size=128),
            dict(type="Normalize", mean=[1.0, 2.0, 3.0], std=[4.0, 5.0, 6.0]),
        ],
    )
)
"""
    (tmp_path / "config.py").write_text(text)
    command = [sys.executable, str(TOOL), "config.py", "--save_dir", "out", *flags]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    dataset = DrawnOrientedDataset(num_images=3)
    for index, truth in enumerate(dataset.ground_truth()):
        picture = cv2.imread(str(tmp_path / "out" / f"{index:06d}.png")).astype(int)
        is_drawn = np.abs(picture - dataset.read_image(index)).max(2) > 0
        assert is_drawn.any() == (len(truth["labels"]) > 0)
        for poly in truth["polys"].reshape(-1, 4, 2):
            for start, end in zip(poly, np.roll(poly, -1, 0), strict=True):
                x, y = np.round((start + end) / 2).astype(int)
                assert is_drawn[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].any()
