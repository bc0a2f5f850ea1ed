"""What was found, missed, invented and changed, as marks."""

import numpy as np

from jld.visualization.changes import BAD, GOOD, MISSED, QUIET, change_marks, enlarged_record, error_marks
from jld.visualization.marks import Line, Tag

SHAPE = (200, 300)
RECORD = {
    "boxes": np.array([[10, 10, 40, 40], [60, 60, 90, 90], [100, 100, 120, 120]], np.float32),
    "scores": np.array([0.9, 0.8, 0.1], np.float32),
    "labels": np.array([0, 1, 1]),
    "gt_boxes": np.array([[10, 10, 40, 40], [150, 20, 190, 80], [200, 20, 240, 80]], np.float64),
    "gt_labels": np.array([0, 1, 1]),
    "gt_is_ignored": np.array([False, False, True]),
}
CLASSES = ("cat", "dog")


def lines(marks, color):
    return [mark for mark in marks if isinstance(mark, Line) and mark.color == color]


def texts(marks):
    return [mark.text for mark in marks if isinstance(mark, Tag)]


def test_errors_are_told_apart():
    found, false = np.array([True, False, False]), np.array([False, True, False])
    marks = error_marks(SHAPE, RECORD, found, false, classes=CLASSES, threshold=0.3)
    (right,), (wrong,), (missed,) = (lines(marks, color) for color in (QUIET, BAD, MISSED))
    assert right.points[0].tolist() == [10, 10] and wrong.points[0].tolist() == [60, 60]
    assert missed.points[0].tolist() == [150, 20] and missed.dash and not wrong.dash
    assert wrong.thickness == 2 * right.thickness
    assert texts(marks) == ["dog 0.80", "missed dog"]
    bare = error_marks(SHAPE, RECORD, found, false, classes=CLASSES, threshold=0.3, with_text=False)
    assert texts(bare) == [] and len(bare) == 3


def test_changes_are_named_in_the_panel_they_belong_to():
    none = np.zeros(3, bool)
    changed = {
        "gained": np.array([False, True, False]), "lost": np.array([True, False, False]),
        "gone": np.array([False, True, False]), "new": none,
    }  # fmt: skip
    left, right = change_marks(SHAPE, (RECORD, RECORD), changed, classes=CLASSES, threshold=0.3)
    assert texts(left) == ["missed dog", "dog 0.80"] and texts(right) == ["found dog", "lost cat"]
    assert len(lines(left, BAD)) == 1 and not lines(right, BAD)
    assert len(lines(right, GOOD)) == 1 and len(lines(left, QUIET)) == 2
    assert lines(right, MISSED)[0].points[0].tolist() == [10, 10]


def test_rotated_boxes_are_drawn_as_such():
    turned = RECORD | {
        "rboxes": np.array([[25, 25, 30, 10, 0.5], [75, 75, 30, 10, 0.5], [110, 110, 20, 5, 0]]),
        "gt_rboxes": np.array([[25, 25, 30, 10, 0.5], [170, 50, 60, 20, 1], [220, 50, 60, 20, 1]]),
    }
    found, false = np.array([True, False, True]), np.array([False, True, False])
    marks = error_marks(SHAPE, turned, found, false, classes=CLASSES, threshold=0.3)
    corners = lines(marks, MISSED)[0].points
    assert np.linalg.norm(np.diff(corners, axis=0), axis=1)[:2].round(6).tolist() == [60, 20]


def test_records_follow_an_enlarged_image():
    large = enlarged_record(RECORD | {"rboxes": np.array([[25, 25, 30, 10, 0.5]])}, 3)
    assert large["boxes"][0].tolist() == [30, 30, 120, 120] and large["gt_boxes"][1, 3] == 240
    assert large["rboxes"].tolist() == [[75, 75, 90, 30, 0.5]] and large["scores"] is RECORD["scores"]
