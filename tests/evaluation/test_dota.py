"""The DOTA protocol: reference numbers, a double loop, and the released evaluators' defects."""

import itertools
import time

import numpy as np
import pytest
import shapely

from jld.boxes.detections import Detections
from jld.boxes.rotated import polys_to_rboxes, rboxes_to_polys
from jld.errors import ConfigError, DataError
from jld.evaluation.dota import PROTOCOLS, THRESHOLDS, DotaEvaluator, match_rotated
from jld.evaluation.tables import format_metrics
from jld.evaluation.voc import hits_and_errors, precision_recall
from tests.golden_cases import case, param_cases

CLASSES = ("plane", "ship", "harbor")
NAMES = [f"AP{50 + 5 * step}" for step in range(10)]


def square(x, y=0.0, side=10.0):
    return [x, y, x + side, y, x + side, y + side, x, y + side]


def truth(img_id, polys, labels, difficult=None):
    flags = np.zeros(len(labels), np.int64) if difficult is None else np.array(difficult)
    return {
        "img_id": img_id,
        "polys": np.array(polys, np.float64).reshape(-1, 8),
        "labels": np.array(labels, np.int64),
        "is_crowd": np.zeros(len(labels), bool),
        "is_difficult": flags != 0,
        "difficult": flags,
    }


def found(img_id, polys, scores, labels):
    return Detections(img_id, scores, labels, polys=np.array(polys, np.float64).reshape(-1, 8))


def random_case(seed, num_images=6):
    rng = np.random.default_rng(seed)
    truths, detections = [], []
    for index in range(num_images):
        count = 0 if index == 1 else int(rng.integers(1, 9))
        rboxes = np.column_stack(
            [rng.uniform(0, 80, (count, 2)), rng.uniform(8, 40, (count, 2)), rng.uniform(-1.5, 1.5, count)]
        )
        labels, flags = rng.integers(0, 3, count), rng.choice([0, 0, 0, 1, 2], count)
        truths.append(truth(index, rboxes_to_polys(rboxes), labels, flags))
        copies = np.repeat(rboxes, 3, 0)
        copies += rng.normal(0, [2, 2, 2, 2, 0.1], copies.shape)
        extra = np.column_stack(
            [rng.uniform(0, 80, (4, 2)), rng.uniform(8, 40, (4, 2)), rng.uniform(-1, 1, 4)]
        )
        polys = rboxes_to_polys(np.concatenate([copies, extra]))
        wrong = rng.random(len(polys)) < 0.2
        guesses = np.concatenate([np.repeat(labels, 3), rng.integers(0, 3, 4)])
        guesses = np.where(wrong, rng.integers(0, 3, len(polys)), guesses)
        detections.append(found(index, polys, rng.permutation(len(polys)) / 97 + index / 997, guesses))
    return detections, truths


def loop_ap(detections, truths, label, threshold, metric, *, any_class=False):
    """The devkit's evaluation of one class, one detection at a time."""
    recalls, precisions, num_gts = loop_curve(detections, truths, label, threshold, any_class)
    if num_gts == 0:
        return None
    if metric == "07":
        return np.mean(
            [
                max((p for p, r in zip(precisions, recalls) if r >= t), default=0)
                for t in np.arange(0, 1.1, 0.1)
            ]
        )
    recalls, precisions = [0, *recalls, 1], [0, *precisions, 0]
    return sum((recalls[i + 1] - recalls[i]) * max(precisions[i + 1 :]) for i in range(len(recalls) - 1))


def loop_curve(detections, truths, label, threshold, any_class):
    objects, num_gts = {}, 0
    for entry in truths:
        rows = []
        for poly, own, flag in zip(entry["polys"], entry["labels"], entry["difficult"]):
            if any_class and flag == 2:
                continue
            if own == label or (any_class and flag == 1):
                rows.append([shapely.Polygon(poly.reshape(4, 2)), flag != 0, False])
        # Ordinary objects first, so that they win ties.
        objects[entry["img_id"]] = sorted(rows, key=lambda row: row[1])
        num_gts += sum(not row[1] for row in rows)
    seen = (
        {entry["img_id"] for entry in truths if (entry["difficult"] == 0).any()}
        if any_class
        else set(objects)
    )
    asked = [
        (score, entry["img_id"], shapely.Polygon(poly.reshape(4, 2)))
        for entry in detections
        if entry["img_id"] in seen
        for poly, score, own in zip(entry["polys"], entry["scores"], entry["labels"])
        if own == label
    ]
    hits = errors = 0
    recalls, precisions = [], []
    for _, img_id, shape in sorted(asked, key=lambda row: -row[0]):
        overlaps = [shape.intersection(row[0]).area / shape.union(row[0]).area for row in objects[img_id]]
        best = int(np.argmax(overlaps)) if overlaps else -1
        if best < 0 or overlaps[best] <= threshold:
            errors += 1
        elif not objects[img_id][best][1]:
            hits, errors = hits + (not objects[img_id][best][2]), errors + objects[img_id][best][2]
            objects[img_id][best][2] = True
        recalls.append(hits / max(num_gts, 1))
        precisions.append(hits / max(hits + errors, 1e-16))
    return recalls, precisions, num_gts


@pytest.mark.golden
@pytest.mark.parametrize("name", param_cases("s_eval_*"))
def test_numbers_are_the_references(name):
    _, arrays = case(name)
    images = sorted({int(key.split("/")[2]) for key in arrays if key.startswith("in/bboxes/")})
    num_classes = 1 + max(int(key.split("/")[3]) for key in arrays if key.startswith("in/det/"))
    classes = [f"class {label}" for label in range(num_classes)]
    truths, detections = [], []
    for index in images:
        ordinary = arrays[f"in/bboxes/{index}"].reshape(-1, 5)
        ignored = arrays[f"in/bboxes_ignore/{index}"].reshape(-1, 5)
        labels = np.concatenate([arrays[f"in/labels/{index}"], arrays[f"in/labels_ignore/{index}"]])
        flags = np.arange(len(labels)) >= len(ordinary)
        truths.append(
            truth(index, rboxes_to_polys(np.concatenate([ordinary, ignored])), labels, flags.astype(int))
        )
        per_class = [arrays[f"in/det/{index}/{label}"].reshape(-1, 6) for label in range(num_classes)]
        rows = np.concatenate(per_class)
        guesses = np.repeat(np.arange(num_classes), [len(part) for part in per_class])
        detections.append(Detections(index, rows[:, 5], guesses, rboxes=rows[:, :5]))
    outputs = {key.split("/")[1:3].__str__(): key.split("/")[1:3] for key in arrays if key.startswith("out/")}
    matches = match_rotated(detections, truths, num_classes, PROTOCOLS["mmrotate"])
    assert outputs
    for metric, threshold in outputs.values():
        evaluator = DotaEvaluator("mmrotate", {"voc07": "07", "area": "area"}[metric], [float(threshold)])
        metrics = evaluator(detections, truths, classes)
        key = f"out/{metric}/{threshold}"
        rows = list(metrics["per_class"].values())
        np.testing.assert_array_equal([row["num_gts"] for row in rows], arrays[f"{key}/num_gts"])
        np.testing.assert_array_equal([row["num_detections"] for row in rows], arrays[f"{key}/num_dets"])
        ours = [max(row["AP"], 0.0) for row in rows]
        np.testing.assert_allclose(ours, arrays[f"{key}/ap"], atol=1e-6)
        np.testing.assert_allclose(metrics["AP"], arrays[f"{key}/mAP"], atol=1e-6)
        for label in range(num_classes):
            chosen = np.flatnonzero(matches["labels"] == label)
            chosen = chosen[np.argsort(-matches["scores"][chosen], kind="stable")]
            curve = precision_recall(
                *hits_and_errors(matches, chosen, float(threshold)), max(rows[label]["num_gts"], 1)
            )
            np.testing.assert_allclose(curve[0], arrays[f"{key}/precision/{label}"], atol=1e-6)
            np.testing.assert_allclose(curve[1], arrays[f"{key}/recall/{label}"], atol=1e-6)


def test_average_precision_of_the_worked_example():
    """Five objects; detections by score: right, right, wrong, right, wrong, right."""
    truths = [truth("P1", [square(20 * index) for index in range(5)], [0] * 5)]
    places = [0, 20, 900, 40, 950, 60]
    detections = [found("P1", [square(place) for place in places], np.linspace(0.9, 0.4, 6), [0] * 6)]
    eleven = DotaEvaluator()(detections, truths, ["plane"])
    assert eleven["AP50"] == pytest.approx(0.704545, abs=1e-6) == eleven["AP"]
    assert DotaEvaluator(metric="area")(detections, truths, ["plane"])["AP"] == pytest.approx(
        0.683333, abs=1e-6
    )


@pytest.mark.parametrize("metric", ["07", "area"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_equal_a_loop_over_detections(seed, metric):
    detections, truths = random_case(seed)
    metrics = DotaEvaluator(metric=metric)(detections, truths, CLASSES)
    assert 0.1 < metrics["AP50"] < 1 and metrics["AP"] < metrics["AP50"]
    for threshold, name in zip(THRESHOLDS, NAMES):
        scores = [loop_ap(detections, truths, label, threshold, metric) for label in range(3)]
        ours = [metrics["per_class"][name_][name] for name_ in CLASSES]
        np.testing.assert_allclose(ours, scores, atol=1e-9)
        np.testing.assert_allclose(metrics[name], np.mean(scores), atol=1e-9)


@pytest.mark.parametrize("seed", [0, 1])
def test_jdets_scores_equal_its_loop(seed):
    detections, truths = random_case(seed)
    metrics = DotaEvaluator("jdet")(detections, truths, [*CLASSES, "bridge"])
    scores = [loop_ap(detections, truths, label, 0.5, "area", any_class=True) for label in range(3)]
    np.testing.assert_allclose([metrics["per_class"][name]["AP50"] for name in CLASSES], scores, atol=1e-9)
    np.testing.assert_allclose(metrics["AP50"], sum(scores) / 4, atol=1e-9)  # the absent class counts 0
    assert metrics["AP50"] != pytest.approx(DotaEvaluator(metric="area")(detections, truths, CLASSES)["AP50"])
    assert "every class" in metrics["protocol"]


def test_rotated_lds_script_inflates_the_higher_thresholds():
    detections, truths = random_case(3)
    right = DotaEvaluator()(detections, truths, CLASSES)
    printed = DotaEvaluator("rotated_ld")(detections, truths, CLASSES)
    assert printed["AP50"] == pytest.approx(right["AP50"])
    for before, name in itertools.pairwise(NAMES):
        assert printed[name] == pytest.approx(right[name] + printed[before] / 3)
    # The published formula for n classes: true AP = (n - 1) / n * printed AP + r95 / (10 n).
    assert right["AP"] == pytest.approx(2 / 3 * printed["AP"] + printed["AP95"] / 30)
    assert "AP50 is right" in printed["protocol"] and right["protocol"] == "DOTA (11 points)"
    assert printed["per_class"]["ship"] == right["per_class"]["ship"]


def test_difficult_objects_count_for_nothing_and_only_in_their_class():
    truths = [truth("P1", [square(0), square(50), square(100)], [0, 1, 1], [0, 1, 2])]
    detections = [
        found("P1", [square(0), square(50), square(100), square(50)], [0.9, 0.8, 0.7, 0.95], [0, 1, 1, 0])
    ]
    metrics = DotaEvaluator(metric="area")(detections, truths, CLASSES)
    assert metrics["per_class"]["plane"]["AP50"] == 0.5  # a plane on a difficult ship is an error
    assert metrics["per_class"]["ship"]["num_gts"] == 0 and metrics["per_class"]["ship"]["AP"] == -1
    assert metrics["AP50"] == 0.5
    assert DotaEvaluator("jdet")(detections, truths, ["plane", "ship"])["AP50"] == 0.5  # 1.0 and 0


def test_overlap_must_exceed_the_threshold_or_reach_it():
    truths = [truth("P1", [square(0)], [0])]
    detections = [found("P1", [[0, 0, 10, 0, 10, 5, 0, 5]], [0.9], [0])]
    assert DotaEvaluator(thresholds=[0.5])(detections, truths, CLASSES)["AP50"] == 0
    assert DotaEvaluator("mmrotate", thresholds=[0.5])(detections, truths, CLASSES)["AP50"] == 1


def test_a_second_detection_of_an_object_is_an_error():
    truths = [truth("P1", [square(0), square(50)], [0, 0])]
    detections = [found("P1", [square(0), square(1), square(50)], [0.9, 0.8, 0.7], [0, 0, 0])]
    assert DotaEvaluator(metric="area")(detections, truths, CLASSES)["AP50"] == pytest.approx(
        0.5 + 0.5 * 2 / 3
    )


def test_rotated_boxes_and_polygons_are_the_same():
    detections, truths = random_case(4)
    as_rboxes = [
        Detections(entry.img_id, entry.scores, entry.labels, rboxes=polys_to_rboxes(entry.polys, "oc"))
        for entry in detections
    ]
    ours = DotaEvaluator()(as_rboxes, truths, CLASSES)
    assert ours["AP50"] == pytest.approx(DotaEvaluator()(detections, truths, CLASSES)["AP50"], abs=1e-6)


def test_nothing_to_find_and_nothing_found():
    nothing = DotaEvaluator()([], [], CLASSES)
    assert nothing["AP"] == nothing["AP50"] == -1
    truths = [truth("P1", [square(0)], [0]), truth("P2", [], [])]
    for protocol in PROTOCOLS:
        assert DotaEvaluator(protocol)([], truths, CLASSES)["AP50"] == 0
        false_alarm = DotaEvaluator(protocol)([found("P2", [square(0)], [0.9], [0])], truths, CLASSES)
        assert false_alarm["AP50"] == 0
    perfect = [found("P1", [square(0)], [1.0], [0])]
    assert DotaEvaluator()(perfect, truths, CLASSES)["AP"] == 1


def test_results_show_in_a_table_with_the_defects():
    text = format_metrics(DotaEvaluator("rotated_ld")(*random_case(0), CLASSES))
    assert "Rotated-LD (11 points;" in text and "AP70" in text and "AP90" in text and "harbor" in text


def test_mistakes_are_explained():
    with pytest.raises(ConfigError, match="did you mean 'rotated_ld'"):
        DotaEvaluator("rotated-ld")
    with pytest.raises(ConfigError, match="07, area"):
        DotaEvaluator(metric="12")
    with pytest.raises(ConfigError, match="thresholds"):
        DotaEvaluator(thresholds=[0])
    with pytest.raises(DataError, match="'P9'"):
        DotaEvaluator()([found("P9", [], [], [])], [truth("P1", [], [])], CLASSES)
    with pytest.raises(DataError, match="labels 7"):
        DotaEvaluator()([found("P1", [square(0)], [0.5], [7])], [truth("P1", [], [])], CLASSES)


@pytest.mark.slow
def test_a_hundred_thousand_detections_take_seconds():
    rng = np.random.default_rng(0)
    truths, detections = [], []
    for index in range(500):
        rboxes = np.column_stack(
            [rng.uniform(0, 3000, (60, 2)), rng.uniform(10, 60, (60, 2)), rng.uniform(-1.5, 1.5, 60)]
        )
        labels = rng.integers(0, 15, 60)
        truths.append(truth(index, rboxes_to_polys(rboxes), labels))
        copies = np.tile(rboxes, (3, 1)) + rng.normal(0, 1.5, (180, 5)) * [1, 1, 1, 1, 0.05]
        extra = np.column_stack(
            [rng.uniform(0, 3000, (20, 2)), rng.uniform(9, 60, (20, 2)), rng.uniform(-1, 1, 20)]
        )
        guesses = np.concatenate([np.tile(labels, 3), rng.integers(0, 15, 20)])
        detections.append(Detections(index, rng.random(200), guesses, rboxes=np.concatenate([copies, extra])))
    start = time.process_time()
    metrics = DotaEvaluator()(detections, truths, [str(label) for label in range(15)])
    assert time.process_time() - start < 20
    assert 0.3 < metrics["AP50"] < 1
