"""Where patches lie and what of the objects they keep."""

from collections import Counter

import cv2
import numpy as np
import pytest
import shapely

from jld.data.dota import PolyAnnotation, read_label_file
from jld.data.dota.windows import (
    cut_for_jdet,
    cut_for_mmrotate,
    drop_empty_windows,
    image_windows,
    window_starts,
)
from jld.errors import ConfigError
from tests.real_data import real_dataset

# {(x, y): {(class, flag): count}}, from running the published splitters with 1024 / 200
MMROTATE_P0706 = {
    (0, 0): {("ship", 0): 484, ("ship", 1): 2, ("ship", 2): 8, ("harbor", 0): 5},
    (0, 158): {("ship", 0): 473, ("ship", 1): 4, ("ship", 2): 10, ("harbor", 0): 4, ("harbor", 2): 1},
    (87, 0): {("ship", 0): 491, ("ship", 2): 6, ("harbor", 0): 5},
    (87, 158): {("ship", 0): 488, ("ship", 1): 3, ("ship", 2): 7, ("harbor", 0): 4, ("harbor", 2): 1},
}
KIT_P0706 = {
    (0, 0): {("ship", 0): 492, ("ship", 1): 2, ("ship", 2): 3, ("harbor", 0): 5},
    (0, 158): {("ship", 0): 482, ("ship", 1): 4, ("ship", 2): 11, ("harbor", 0): 5},
    (87, 0): {("ship", 0): 497, ("ship", 2): 2, ("harbor", 0): 5},
    (87, 158): {("ship", 0): 494, ("ship", 1): 4, ("ship", 2): 7, ("harbor", 0): 5},
}
P1888 = {(0, 0): {("large-vehicle", 0): 50, ("small-vehicle", 0): 14}}


def stepped_starts(length, size, step):
    """The development kit's loop, one step at a time."""
    starts, left = [], 0
    while True:
        if left + size >= length:
            return [*starts, max(length - size, 0)]
        starts.append(left)
        left += step


@pytest.mark.parametrize("size", [100, 101])
def test_windows_are_those_of_the_step_by_step_loop(size):
    for length in range(1, 400):
        assert window_starts(length, size, 80) == stepped_starts(length, size, 80)


def test_every_pixel_is_in_a_window_and_neighbours_overlap():
    windows = image_windows(250, 170, 100, 20)
    shown = np.zeros((170, 250), int)
    for x1, y1, x2, y2 in windows:
        shown[y1:y2, x1:x2] += 1
    assert shown.min() == 1 and (windows[:, 2] <= 250).all() and len(windows) == 6
    assert windows[:2].tolist() == [[0, 0, 100, 100], [0, 70, 100, 170]]
    assert image_windows(60, 40, 100, 20).tolist() == [[0, 0, 100, 100]]
    with pytest.raises(ConfigError, match="overlap_size"):
        image_windows(250, 170, 100, 100)


def test_windows_with_little_image_are_dropped_unless_there_is_no_better_one():
    mixed = np.array([[0, 0, 100, 100], [0, 0, 400, 400]])
    assert drop_empty_windows(mixed, 120, 110).tolist() == [[0, 0, 100, 100]]
    small = np.array([[0, 0, 400, 400], [0, 0, 800, 800]])
    assert drop_empty_windows(small, 120, 110).tolist() == [[0, 0, 400, 400]]


def square(x, y, side):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def test_mmrotate_keeps_objects_whole_and_flags_the_cut_ones():
    polys = [square(10, 10, 20), square(-4, 50, 20), square(-8, 50, 20), square(60, 60, 20)]
    annotation = PolyAnnotation.of(polys, ["a", "b", "c", "d"], [1, 1, 0, 0])
    (cut,) = cut_for_mmrotate(annotation, np.array([[0, 0, 70, 100]]))
    assert cut.names == ("a", "b") and cut.difficult.tolist() == [1, 2]
    np.testing.assert_array_equal(cut.polys, polys[:2])  # coordinates may leave the patch
    (moved,) = cut_for_mmrotate(annotation, np.array([[50, 50, 150, 150]]))
    assert moved.names == ("d",) and moved.polys[0].tolist() == square(10, 10, 20)


def test_kit_clips_cut_objects_and_flags_small_rests():
    polys = [square(10, 10, 20), square(-4, 50, 20), square(-8, 50, 20), square(95, 95, 20)]
    annotation = PolyAnnotation.of(polys, ["a", "b", "c", "d"], [1, 1, 0, 0])
    cut = cut_for_jdet(annotation, np.array([0, 0, 100, 100]), (100, 100))
    assert cut.names == ("a", "b", "c", "d") and cut.difficult.tolist() == [1, 1, 2, 2]
    assert cut.polys[0].tolist() == polys[0]
    # Coordinates go into [1, size]; the window ends at the last pixel, 99.
    assert cut.polys[1].tolist() == [1, 50, 16, 50, 16, 70, 1, 70]
    assert cut.polys[3].tolist() == [95, 95, 99, 95, 99, 99, 95, 99]


def test_kit_merges_five_corners_and_drops_three_and_six():
    corner_cut = [-2, 40, 40, -2, 80, 38, 38, 80]  # the window's border cuts two tips
    tip_only = [-30, 50, 5, 40, 5, 60, -20, 70]
    triangle = [-20, 50, 4, 50, -20, 60, -25, 55]
    annotation = PolyAnnotation.of([corner_cut, tip_only, triangle], ["six", "four", "three"])
    cut = cut_for_jdet(annotation, np.array([0, 0, 100, 100]), (500, 500))
    assert cut.names == ("four",)
    one_tip = PolyAnnotation.of([[-2, 40, 40, 10, 80, 38, 38, 80]], ["five"])
    (poly,) = cut_for_jdet(one_tip, np.array([0, 0, 100, 100]), (500, 500)).polys
    # The two cut points, about 0,38.6 and 0,42, become one corner in their middle.
    assert poly.tolist() == [1, 40, 40, 10, 80, 38, 38, 80]


def test_yx_style_writes_half_visible_objects_once_more():
    annotation = PolyAnnotation.of([square(-4, 50, 20), square(-12, 50, 20)], ["a", "b"], [1, 1])
    cut = cut_for_jdet(annotation, np.array([0, 0, 100, 100]), (500, 500), yx_style=True)
    assert cut.names == ("a", "a", "b") and cut.difficult.tolist() == [0, 1, 2]
    assert cut.polys[0].tolist() == square(-4, 50, 20)


def test_broken_and_flat_objects_do_not_stop_the_cut():
    crossed = [90, 0, 110, 20, 110, 0, 90, 20]
    annotation = PolyAnnotation.of([crossed, [5, 5] * 4, square(-50, -50, 10)], ["x", "point", "outside"])
    window = np.array([0, 0, 99, 100])
    cut = cut_for_jdet(annotation, window, (500, 500))  # a bit less than one of the two triangles is inside
    assert cut.names == ("x",) and cut.difficult.tolist() == [2]
    assert cut_for_mmrotate(annotation, window[None])[0].names == ()
    nothing = PolyAnnotation.of([], [])
    assert (
        len(cut_for_jdet(nothing, window, (500, 500))) == 0 == len(cut_for_mmrotate(nothing, window[None])[0])
    )


def test_an_object_with_exactly_seventy_percent_inside_stays():
    annotation = PolyAnnotation.of([[-15, 101, -6, 91, 29, 124, 20, 134]], ["ship"])  # 452.9 of 647 px^2
    (cut,) = cut_for_mmrotate(annotation, np.array([[0, 0, 300, 300]]))
    assert cut.names == ("ship",) and cut.difficult.tolist() == [2]


def test_shares_equal_shapelys():
    rng = np.random.default_rng(3)
    polys = rng.uniform(-10, 110, (300, 4, 2))
    polys = polys[shapely.is_valid(shapely.polygons(polys))].reshape(-1, 8)
    frame = shapely.box(0, 0, 100, 100)
    shapes = [shapely.Polygon(poly.reshape(4, 2)) for poly in polys]
    shares = np.array([shape.intersection(frame).area / shape.area for shape in shapes])
    (cut,) = cut_for_mmrotate(
        PolyAnnotation.of(polys, [str(i) for i in range(len(polys))]), np.array([[0, 0, 100, 100]])
    )
    assert [int(name) for name in cut.names] == np.flatnonzero(shares >= 0.7).tolist()


@pytest.mark.parametrize(
    ("image_id", "mmrotate", "kit"), [("P0706", MMROTATE_P0706, KIT_P0706), ("P1888", P1888, P1888)]
)
def test_real_images_give_the_counts_of_the_published_splitters(image_id, mmrotate, kit):
    folder = real_dataset("dota_sample")
    height, width = cv2.imread(str(folder / "images" / f"{image_id}.png")).shape[:2]
    annotation, _ = read_label_file(folder / "labelTxt" / f"{image_id}.txt")
    windows = image_windows(width, height, 1024, 200)
    assert drop_empty_windows(windows, width, height).tolist() == windows.tolist()
    starts = [tuple(window[:2].tolist()) for window in windows]

    def count(cut):
        return dict(Counter(zip(cut.names, cut.difficult.tolist(), strict=True)))

    assert dict(zip(starts, map(count, cut_for_mmrotate(annotation, windows)), strict=True)) == mmrotate
    by_kit = [count(cut_for_jdet(annotation, window, (width, height))) for window in windows]
    assert dict(zip(starts, by_kit, strict=True)) == kit
