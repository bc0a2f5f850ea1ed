"""Region overlays: every weight at the pixels of its cell, in its colour."""

import numpy as np
import pytest

from jld.errors import DataError
from jld.visualization.regions import FAINT, STRONG, cell_map, draw_regions, region_color


def test_cells_lie_around_their_centres():
    cells = np.arange(1, 7).reshape(2, 3)
    # Offset 0: cell (i, j) is centred at (8 j, 8 i), so cell 0 has half of its square inside the image.
    spread = cell_map(cells, (16, 24), 8, 0.0)
    np.testing.assert_array_equal(spread[0], [1] * 4 + [2] * 8 + [3] * 8 + [0] * 4)
    np.testing.assert_array_equal(spread[:, 0], [1] * 4 + [4] * 8 + [0] * 4)
    # Offset 0.5: the squares tile the image.
    np.testing.assert_array_equal(cell_map(cells, (16, 24), 8, 0.5), np.kron(cells, np.ones((8, 8))))


def test_panels_show_the_right_cell_on_the_right_level():
    image = np.full((64, 96, 3), 255, np.uint8)
    sizes, strides = [(8, 12), (4, 6)], [8, 16]
    weights = {"vlr": np.zeros(96 + 24), "main": np.zeros(96 + 24)}
    weights["vlr"][3 * 12 + 5] = 0.4  # level 0, row 3, column 5: centre (40, 24)
    weights["main"][96 + 2 * 6 + 4] = 1.0  # level 1, row 2, column 4: centre (64, 32)
    picture = draw_regions(image, weights, sizes, strides, panel_size=(64, 96), columns=3)
    panels = _panels(picture, 3)
    # Only one vlr weight exists, so it is the region's largest and drawn strongest.
    _expect_tint(panels[0], (40, 24), "vlr", STRONG)
    _expect_tint(panels[1], (64, 32), "main", STRONG)
    for panel, centre in ((panels[0], (64, 32)), (panels[1], (40, 24)), (panels[2], (10, 60))):
        assert (panel[centre[1], centre[0]] == 255).all()
    _expect_tint(panels[2], (40, 24), "vlr", STRONG)
    _expect_tint(panels[2], (64, 32), "main", STRONG)


def test_smaller_weights_are_fainter():
    weights = np.zeros(96)
    weights[[13, 20]] = 1.0, 0.5  # centres (8, 8) and (64, 8)
    image = np.full((64, 96, 3), 255, np.uint8)
    panel = _panels(draw_regions(image, {"vlr": weights}, [(8, 12)], [8], panel_size=(64, 96)), 2)[0]
    _expect_tint(panel, (8, 8), "vlr", STRONG)
    _expect_tint(panel, (64, 8), "vlr", (FAINT + STRONG) / 2)


def test_priors_of_a_cell_show_their_largest_weight():
    weights = np.zeros((96, 3))
    weights[13] = 0.0, 0.7, 0.2
    image = np.full((64, 96, 3), 255, np.uint8)
    arguments = ([(8, 12)], [8])
    three = draw_regions(image, {"main": weights.ravel()}, *arguments, num_per_cell=3, panel_size=(64, 96))
    _expect_tint(_panels(three, 2)[0], (8, 8), "main", STRONG)


def test_empty_regions_and_ground_truth():
    image = np.full((64, 96, 3), 255, np.uint8)
    picture = draw_regions(
        image,
        {"vlr": np.zeros(96)},
        [(8, 12)],
        [8],
        gt_boxes=np.array([[10, 10, 80, 50]]),
        panel_size=(64, 96),
    )
    panel = _panels(picture, 2)[0]
    assert (panel[30, 45] == 255).all()
    assert (panel[10, 10:80] != 255).any(-1).all()


def test_outlines_on_small_images_stay_thin():
    image = np.full((32, 48, 3), 255, np.uint8)
    arguments = ({"vlr": np.zeros(24)}, [(4, 6)], [8])
    picture = draw_regions(image, *arguments, gt_boxes=np.array([[8, 8, 40, 24]]), panel_size=(320, 480))
    bare = draw_regions(image, *arguments, panel_size=(320, 480))
    row = next(y for y in range(picture.shape[0]) if (picture[y, 10] == 200).all())
    # Down the middle of the enlarged panel: the box's upper and lower side, at 80 and 240 px.
    drawn = np.flatnonzero(
        (picture[row + 1 : row + 321, 11 + 240] != bare[row + 1 : row + 321, 11 + 240]).any(-1)
    )
    assert drawn.min() in range(77, 83) and drawn.max() in range(237, 243) and len(drawn) <= 8


def test_wrong_number_of_weights():
    with pytest.raises(DataError, match=r"'vlr' has weights of shape \(95,\), but there are 96 priors"):
        draw_regions(np.zeros((64, 96, 3), np.uint8), {"vlr": np.zeros(95)}, [(8, 12)], [8])


def test_unknown_regions_have_stable_colours():
    assert region_color("my region") == region_color("my region") != region_color("other")


def _panels(picture, columns):
    """The pictures inside a sheet of one row: 96 x 64 px, each with a 1 px frame, 10 px apart."""
    row = next(y for y in range(picture.shape[0]) if (picture[y, 10] == 200).all())
    return [picture[row + 1 : row + 65, 11 + k * 108 :][:, :96] for k in range(columns)]


def _expect_tint(panel, centre, name, alpha):
    expected = 255 + alpha * (np.array(region_color(name), float) - 255)
    np.testing.assert_allclose(panel[centre[1], centre[0]], expected, atol=1, err_msg=f"{name} at {centre}")
