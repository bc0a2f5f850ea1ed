"""Masks over images."""

import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.boxes.masks import from_bitmap
from jld.data import DrawnDataset
from jld.errors import DataError
from jld.visualization.canvas import class_color
from jld.visualization.masks import VEIL, draw_masks


def mask(rows, columns):
    bitmap = np.zeros((60, 80), np.uint8)
    bitmap[rows, columns] = 1
    return from_bitmap(bitmap)


def grey():
    return np.full((60, 80, 3), 100, np.uint8)


def test_a_veil_lies_inside_and_a_line_around_it():
    image = grey()
    drawn = draw_masks(image, [mask(slice(10, 30), slice(20, 50))], [3])
    color = np.array(class_color(3))
    np.testing.assert_array_equal(drawn[20, 30], np.round((1 - VEIL) * 100 + VEIL * color))
    np.testing.assert_array_equal(drawn[10, 30], color)
    assert (drawn[40:] == 100).all() and (image == 100).all()


def test_the_best_lies_on_top_and_the_worst_are_left_out():
    masks = [
        mask(slice(0, 40), slice(0, 40)),
        mask(slice(20, 60), slice(20, 60)),
        mask(slice(0, 60), slice(70, 80)),
    ]
    drawn = draw_masks(grey(), masks, [0, 1, 2], [0.9, 0.5, 0.1], score_threshold=0.3)
    np.testing.assert_array_equal(drawn[39, 30], class_color(0))
    assert not (drawn[20, 30] == class_color(1)).all() and (drawn[:, 70:] == 100).all()
    assert (draw_masks(grey(), [], []) == 100).all()


def test_what_does_not_fit():
    with pytest.raises(DataError, match="1 masks come with 2 labels and no scores"):
        draw_masks(grey(), [mask(slice(0), slice(0))], [0, 1])
    with pytest.raises(DataError, match=r"a mask has the size \[60, 80\], and its image \[60, 60\]"):
        draw_masks(grey()[:, :60], [mask(slice(0), slice(0))], [0])


def test_pictures_of_detections_show_masks(tmp_path):
    from jld.runner.tasks import draw_detections

    dataset = DrawnDataset(num_images=1)
    wide = from_bitmap(np.ones((128, 128), np.uint8))
    paths = []
    for name, more in (("boxes", {}), ("masks", {"masks": [wide]})):
        found = Detections(0, [0.9], [1], boxes=[[10, 10, 50, 50]], **more)
        paths += draw_detections([found], dataset, tmp_path / name)
    assert paths[0].read_bytes() != paths[1].read_bytes()
