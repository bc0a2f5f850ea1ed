"""Drawn boxes: colours, places, labels, and what is left out."""

import cv2
import numpy as np
import pytest

from jld.errors import DataError
from jld.visualization.boxes import (
    box_corners,
    draw_boxes,
    draw_truth_outline,
    scaled,
)
from jld.visualization.canvas import (
    INK,
    TRUTH,
    class_color,
    contrast_color,
    enlarged,
    fit_text,
    legend,
    text_size,
    write_image,
)


def grey(height=200, width=300):
    return np.full((height, width, 3), 120, np.uint8)


def pixel(image, x, y):
    return tuple(int(value) for value in image[y, x])


def count(image, color):
    return int((image == np.array(color, np.uint8)).all(-1).sum())


def test_border_has_the_class_colour_and_the_rest_is_untouched():
    image = grey()
    drawn = draw_boxes(image, [[50, 60, 150, 160], [200, 60, 250, 160]], [0, 1], thickness=1, with_text=False)
    for label, box in enumerate([(50, 60, 150, 160), (200, 60, 250, 160)]):
        x1, y1, x2, y2 = box
        for x, y in ((x1, y1), (x2, y2), (x1, (y1 + y2) // 2), ((x1 + x2) // 2, y2)):
            assert pixel(drawn, x, y) == class_color(label)
        assert pixel(drawn, (x1 + x2) // 2, (y1 + y2) // 2) == (120, 120, 120)
    # The outline of 101 x 101 and 51 x 101 pixels and nothing else.
    assert count(drawn, (120, 120, 120)) == 200 * 300 - 400 - 300
    assert (image == 120).all()


def test_label_stands_above_the_box_in_its_colour():
    drawn = draw_boxes(grey(), [[50, 60, 150, 160]], [2], [0.87], classes=("a", "b", "dog"), thickness=1)
    above = drawn[40:59, 50:120]
    assert count(above, class_color(2)) > 200
    assert (np.abs(above.astype(int) - contrast_color(class_color(2))).max(-1) < 60).sum() > 10
    assert (drawn[:, 151:] == 120).all()


def test_label_stays_inside_the_image():
    # No room above, and wider than the room to the right.
    drawn = draw_boxes(grey(), [[280, 0, 299, 100]], [0], [0.5], classes=("a very long name",))
    assert count(drawn[:20], class_color(0)) > 200
    assert drawn.shape == (200, 300, 3)


def test_labels_do_not_cover_each_other():
    boxes, scores = [[50, 60, 150, 160]] * 2, [0.9, 0.4]
    both = draw_boxes(grey(), boxes, [0, 1], scores, classes=("first", "second"))
    # The better one has the best place, the other one is written somewhere else, too.
    assert count(both[40:59, 50:100], class_color(0)) > 200
    assert count(both, class_color(1)) > 200


def test_labels_leave_a_crowd_visible():
    image = np.full((256, 256, 3), 90, np.uint8)
    starts = np.stack(np.meshgrid(np.arange(4, 250, 12), np.arange(4, 250, 12)), -1).reshape(-1, 2)
    boxes = np.concatenate([starts, starts + 6], 1).astype(float)
    plain = draw_boxes(image, boxes, classes=["ship"], with_text=False)
    covered = (draw_boxes(image, boxes, classes=["ship"]) != plain).any(2).mean()
    assert 0.02 < covered < 0.16


def test_better_box_is_drawn_on_top():
    boxes = [[50, 60, 150, 160]] * 2
    drawn = draw_boxes(grey(), boxes, [0, 1], [0.9, 0.4], with_text=False)
    assert pixel(drawn, 50, 110) == class_color(0)
    assert count(drawn, class_color(1)) == 0


def test_score_threshold():
    drawn = draw_boxes(
        grey(), [[50, 60, 150, 160], [10, 10, 30, 30]], [0, 1], [0.29, 0.3], score_threshold=0.3
    )
    assert count(drawn, class_color(0)) == 0
    assert count(drawn, class_color(1)) > 0


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4)), np.zeros((0, 5))])
def test_no_boxes(boxes):
    assert (draw_boxes(grey(), boxes, [], []) == 120).all()


def test_boxes_far_outside_do_not_overflow():
    drawn = draw_boxes(grey(), [[-1e12, 50, 1e12, 100]], [0], with_text=False, thickness=1)
    assert pixel(drawn, 150, 50) == class_color(0)


def test_corners_of_rotated_boxes():
    # A quarter turn clockwise on screen takes the top left corner to the top right.
    corners = box_corners([[100, 50, 40, 20, np.pi / 2]])
    np.testing.assert_allclose(corners[0], [[110, 30], [110, 70], [90, 70], [90, 30]], atol=1e-9)
    np.testing.assert_allclose(box_corners([[100, 50, 40, 20, 0]]), box_corners([[80, 40, 120, 60]]))
    np.testing.assert_allclose(box_corners([[0, 1, 2, 3, 4, 5, 6, 7]])[0], np.arange(8).reshape(4, 2))


def test_rotated_box_is_drawn_along_its_edges():
    drawn = draw_boxes(grey(), [[150, 100, 80, 40, np.pi / 4]], with_text=False, thickness=1)
    (x, y), _ = (corner.round().astype(int) for corner in box_corners([[150, 100, 80, 40, np.pi / 4]])[0][:2])
    assert (drawn[y - 2 : y + 3, x - 2 : x + 3] != 120).any()
    assert (drawn[90, 160] == 120).all()


def test_a_line_points_in_the_direction_of_the_angle():
    down = [[150, 100, 80, 40, np.pi / 2]]
    drawn = draw_boxes(grey(), down, with_text=False, thickness=1)
    assert count(drawn[102:138, 150], class_color(0)) == 36  # from the centre to the edge below
    assert (drawn[62:98, 150] == 120).all()
    plain = draw_boxes(grey(), box_corners(down).reshape(1, 8), with_text=False, thickness=1)
    assert (plain[62:138, 150] == 120).all()


def test_truth_outline_is_dashed():
    drawn = draw_truth_outline(grey(), [[50, 60, 250, 160]])
    row = drawn[60, 50:250]
    assert count(row, TRUTH) > 40
    assert count(row, INK) > 40


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((grey(), [[0, 0, 1, 1]], [0, 1]), "1 boxes come with 2 labels"),
        ((grey(), [[0, 0, 1, 1]], [0], [0.5, 0.5]), "2 scores"),
        ((grey(), [[0, 0, 1]], [0]), r"shape \(1, 3\)"),
        ((grey().astype(np.float32), [[0, 0, 1, 1]], [0]), "uint8"),
        ((grey()[..., :2], [[0, 0, 1, 1]], [0]), r"\(200, 300, 2\)"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(DataError, match=message):
        draw_boxes(*arguments)


def test_label_without_class():
    with pytest.raises(DataError, match="from 0 to 2, but there are 2 classes"):
        draw_boxes(grey(), [[0, 0, 1, 1]] * 2, [0, 2], classes=("a", "b"))


def test_grey_images_become_colour():
    assert draw_boxes(np.full((20, 30), 7, np.uint8), []).shape == (20, 30, 3)


def test_class_colours_differ():
    colors = np.array([class_color(label) for label in range(80)], float)
    distances = np.linalg.norm(colors[:, None] - colors[None], axis=-1) + 1000 * np.eye(80)
    assert distances.min() > 20
    assert np.linalg.norm(np.diff(colors[:20], axis=0), axis=1).min() > 80


def test_fit_text_and_legend():
    assert fit_text("short", 500, 0.5) == "short"
    cut = fit_text("a rather long caption", 80, 0.5)
    assert cut.endswith("...") and text_size(cut, 0.5)[0] <= 80
    entries = [(f"region {k}", class_color(k)) for k in range(6)]
    wide, narrow = legend(entries, 1000), legend(entries, 250)
    assert wide.shape[1] == 1000 and narrow.shape[0] > wide.shape[0]
    for strip in (wide, narrow):
        assert all(count(strip, color) > 100 for _, color in entries)


def test_written_image_reads_back(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    path = write_image(tmp_path / "new folder" / "a.png", image)
    assert (cv2.imread(str(path)) == image).all()
    assert [file.name for file in path.parent.iterdir()] == ["a.png"]
    with pytest.raises(DataError, match=r"no image format is called '\.xyz'"):
        write_image(tmp_path / "a.xyz", image)


def test_small_images_are_enlarged_with_their_boxes():
    large, zoom = enlarged(grey(20, 100))
    assert zoom == 4 and large.shape == (80, 400, 3) and enlarged(grey(400, 500))[1] == 1
    assert scaled([[1, 2, 3, 4, 0.5]], 4).tolist() == [[4, 8, 12, 16, 0.5]]
    assert scaled([[1, 2, 3, 4]], 4).tolist() == [[4, 8, 12, 16]]
    assert scaled(np.ones((2, 8)), 4).tolist() == [[4] * 8] * 2 and scaled(np.zeros((0, 4)), 4).shape == (
        0,
        4,
    )
