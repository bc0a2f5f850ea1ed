"""Grids of pictures."""

import numpy as np
import pytest

from jld.errors import DataError
from jld.visualization.montage import montage, stack

RED, BLUE = (0, 0, 255), (255, 0, 0)


def plain(height, width, color):
    return np.full((height, width, 3), color, np.uint8)


def test_cells_lie_in_rows():
    sheet = montage([plain(20, 30, RED), plain(20, 30, BLUE), plain(20, 30, RED)], columns=2, gap=10)
    assert sheet.shape == (10 + 2 * 30, 10 + 2 * 40, 3)
    assert (sheet[10:30, 10:40] == RED).all()
    assert (sheet[10:30, 50:80] == BLUE).all()
    assert (sheet[40:60, 10:40] == RED).all()
    assert (sheet[40:60, 50:80] == 255).all()


def test_pictures_keep_their_proportions():
    sheet = montage([plain(10, 40, RED)], cell_size=(40, 80), gap=0)
    # 10 x 40 becomes 20 x 80 in the middle of the cell.
    assert (sheet[10:30] == RED).all()
    assert (sheet[:10] == 255).all() and (sheet[30:] == 255).all()


def test_captions_take_room_below():
    pictures = [plain(40, 200, RED)] * 2
    bare, titled = montage(pictures, gap=10), montage(pictures, gap=10, captions=["one", "two"])
    assert titled.shape[0] > bare.shape[0] and titled.shape[1] == bare.shape[1]
    red = (titled == RED).all(-1).any(1)
    assert (titled[: red.argmax()] == 255).all()
    assert (titled[len(red) - red[::-1].argmax() :] < 100).any()


def test_median_cell_size():
    sheet = montage([plain(20, 30, RED), plain(20, 30, RED), plain(500, 600, BLUE)], columns=3, gap=0)
    assert sheet.shape == (20, 90, 3)


def test_stack():
    sheet = stack([plain(10, 30, RED), plain(5, 20, BLUE)], gap=3)
    assert sheet.shape == (18, 30, 3)
    assert (sheet[:10] == RED).all() and (sheet[13:, :20] == BLUE).all() and (sheet[13:, 20:] == 255).all()


def test_wrong_arguments():
    with pytest.raises(DataError, match="at least one image"):
        montage([])
    with pytest.raises(DataError, match="2 images got 1 captions"):
        montage([plain(2, 2, RED)] * 2, captions=["a"])
