"""Error analysis of a scene whose errors are known, and what another detector changed in it."""

import json

import numpy as np
import pytest

from jld.boxes.detections import Detections
from jld.errors import DataError
from jld.evaluation import CocoEvaluator
from jld.evaluation.analysis import analyse, change, records_of
from jld.evaluation.analysis_tables import analysis_tables, change_table
from tests.evaluation.cases import detected, truth

pytest.importorskip("hotcoco")
CLASSES = ("cat", "dog", "<b>never")
A, B, C, D = (0, 0, 40, 40), (60, 0, 100, 40), (0, 60, 40, 100), (60, 60, 100, 100)
FAR = (140, 140, 180, 180)


def scene():
    """Image 1: a cat found, a dog taken for one, a cat twice, one missed; image 2: an invention, a crowd."""
    found = [
        detected(1, [A, B, C, (0, 60, 40, 98), FAR], [0.9, 0.8, 0.7, 0.6, 0.2], [0, 0, 0, 0, 1]),
        detected(2, [FAR, A], [0.5, 0.4], [1, 0]),
    ]
    ground_truth = [truth(1, [A, B, C, D], [0, 1, 0, 1]), truth(2, [A], [0], crowd=[True])]
    return found, ground_truth


@pytest.fixture
def first():
    return analyse(*scene(), CLASSES)


def test_kinds_of_errors(first):
    assert {kind: count for kind, (_, count) in first.tide.items()} == {
        "Cls": 1, "Loc": 0, "Both": 0, "Dupe": 1, "Bkg": 2, "Miss": 1,
    }  # fmt: skip
    assert first.tide["Cls"][0] > 0 and first.metrics["AP"] == CocoEvaluator()(*scene(), CLASSES)["AP"]


def test_what_is_found_at_the_threshold(first):
    assert [found.tolist() for found in first.is_found] == [[True, False, True, False], [True]]
    # The detection at 0.2 does not count, and the one in the crowd is neither right nor wrong.
    assert [false.tolist() for false in first.is_false] == [[False, True, False, True, False], [True, False]]
    assert first.counts().tolist() == [[4, 2, 2], [0, 0, 1]]
    low = analyse(*scene(), CLASSES, threshold=0.1)
    assert low.counts().tolist() == [[4, 2, 3], [0, 0, 1]]
    assert first.confusion[:2].tolist() == [[2, 0, 0, 0], [1, 0, 0, 1]]  # a dog taken for a cat, one missed


def test_classes_and_sizes(first):
    cat, dog, never = first.per_class.values()
    assert (cat["objects"], cat["found"], cat["false"]) == (2, 2, 2)
    assert (dog["objects"], dog["found"], dog["false"]) == (2, 0, 1)
    assert never["AP"] == -1 and never["objects"] == 0
    assert cat["APm"] == pytest.approx(cat["AP"]) and cat["APs"] == -1 and dog["AP50"] == 0
    assert first.precision.shape == (10, 101, 3)


def test_tables_and_json(first):
    tables = analysis_tables({"plain": first})
    text = "\n".join([*tables, *tables.values()])
    assert "COCO protocol, percent" in text and "Dupe: found twice" in text
    assert "dog taken for cat" in text and "50.0" in text
    plain = json.loads(json.dumps(first.to_plain()))
    assert plain["images"]["1"] == {"objects": 4, "found": 2, "false": 2}
    assert plain["tide"]["Miss"]["count"] == 1


def second_scene():
    """The dog is a dog now and the missed one found, the cat at C is lost; the invention moved a little."""
    return [
        detected(1, [A, B, D, (120, 0, 160, 40)], [0.9, 0.8, 0.7, 0.6], [0, 1, 1, 0]),
        detected(2, [(141, 141, 181, 181)], [0.5], [1]),
    ]


def test_what_changed(first):
    second = analyse(second_scene(), scene()[1], CLASSES)
    made = change(first, second, num_samples=50)
    assert [each.tolist() for each in made.gained] == [[False, True, False, True], [False]]
    assert [each.tolist() for each in made.lost] == [[False, False, True, False], [False]]
    # The wrong cat and its double are gone; the invention of image 2 is still there, and one is new.
    assert [np.flatnonzero(each).tolist() for each in made.gone] == [[1, 3], []]
    assert [np.flatnonzero(each).tolist() for each in made.new] == [[3], []]
    assert made.balance().tolist() == [2, 0]
    assert made.recall[:2] == (0.5, 0.75) and made.false_per_image[:2] == (1.5, 1.0)
    assert made.metrics["AP"][:2] == (first.metrics["AP"], second.metrics["AP"])
    low, high = made.metrics["AP"][2:]
    assert low <= second.metrics["AP"] - first.metrics["AP"] <= high
    text = change_table(made, ("plain", "distilled"))
    assert "objects: 2 found that were missed, 1 missed that were found" in text
    assert "false detections: 2 gone, 1 new" in text
    assert np.isnan(made.metrics["APs"][2]) and "APs" not in text


def test_intervals_shrink_with_the_images_and_can_be_left_out(first):
    widths = []
    for copies in (4, 64):
        found, ground_truth, better = [], [], []
        for copy in range(copies):
            for each, true, other in zip(*scene(), second_scene(), strict=True):
                name = f"{copy}/{each.img_id}"
                found.append(detected(name, each.boxes, each.scores, each.labels))
                ground_truth.append({**true, "img_id": name})
                better.append(detected(name, other.boxes, other.scores, other.labels))
        pair = (analyse(each, ground_truth, CLASSES) for each in (found, better))
        made = change(*pair, num_samples=100)
        widths.append(made.false_per_image[3] - made.false_per_image[2])
    assert widths[1] < 0.5 * widths[0]
    none = change(first, first, num_samples=0)
    assert np.isnan(none.recall[2]) and none.balance().tolist() == [0, 0]
    assert "-" in change_table(none, ("a", "b")).splitlines()[2]


def turned(entry):
    """The same boxes as rotated ones, an eighth of a turn."""
    boxes = np.asarray(entry["boxes"] if isinstance(entry, dict) else entry.boxes, np.float64)
    sizes = boxes[:, 2:] - boxes[:, :2]
    rboxes = np.column_stack([boxes[:, :2] + sizes / 2, sizes, np.full(len(boxes), np.pi / 4)])
    if isinstance(entry, dict):
        return entry | {"rboxes": rboxes}
    return Detections(entry.img_id, entry.scores, entry.labels, rboxes=rboxes)


def test_rotated_boxes_are_analysed_as_such(first):
    found, ground_truth = scene()
    turned_scene = list(map(turned, found)), list(map(turned, ground_truth))
    empty = turned(truth(3, [], []))
    analysis = analyse([*turned_scene[0], detected(3, [], [], [])], [*turned_scene[1], empty], CLASSES)
    assert "an extension, comparable with no benchmark" in analysis.protocol
    assert analysis.counts().tolist() == [*first.counts().tolist(), [0, 0, 0]]
    assert analysis.metrics["AP50"] == pytest.approx(first.metrics["AP50"])
    with pytest.raises(DataError, match="rotated detections and upright ground truth"):
        records_of(turned_scene[0], ground_truth, 3)


def test_what_cannot_be_analysed(first):
    with pytest.raises(DataError, match="the 1 images of the ground truth hold no object to find"):
        analyse([], [truth(1, [A], [0], crowd=[True])], CLASSES)
    other = analyse([], [truth(1, [A], [0])], CLASSES)
    with pytest.raises(DataError, match="only runs on the same images"):
        change(first, other)
