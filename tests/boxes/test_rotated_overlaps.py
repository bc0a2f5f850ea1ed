"""Exact overlaps and suppression against shapely and a double loop."""

import numpy as np
import pytest
import shapely

from jld.boxes.rotated import (
    candidate_pairs,
    candidates,
    clipping,
    matched_poly_iou,
    matched_rbox_iou,
    nms_polys,
    pairwise_poly_iou,
    pairwise_rbox_iou,
    poly_areas,
    polys_to_xyxy,
    rboxes_to_polys,
    shared_area_bounds,
)
from jld.boxes.rotated.polygon_iou import intersection_areas
from jld.errors import ConfigError

CROSSED = [0, 0, 10, 10, 10, 0, 0, 10]  # two triangles of 25 px^2 that meet in the middle
CONCAVE = [0, 0, 10, 0, 3, 3, 0, 10]  # a boomerang of 30 px^2


def random_rboxes(count, seed, spread=100):
    rng = np.random.default_rng(seed)
    return np.column_stack(
        [rng.uniform(0, spread, (count, 2)), rng.uniform(5, 50, (count, 2)), rng.uniform(-3, 3, count)]
    )


def by_shapely(first, second):
    shapes = [
        [shapely.Polygon(np.reshape(poly, (4, 2))).buffer(0) for poly in polys] for polys in (first, second)
    ]
    return np.array([[a.intersection(b).area / a.union(b).area for b in shapes[1]] for a in shapes[0]])


def test_worked_examples():
    first = [(50, 40, 30, 10, 0.5), (50, 40, 30, 10, 0.5), (10, 10, 20, 20, 0.3), (0, 0, 100, 4, 0)]
    second = [(50, 40, 30, 10, 0.5), (53, 38, 24, 12, 0.9), (10, 10, 20, 20, 1.1), (0, 0, 100, 4, 0.05)]
    np.testing.assert_allclose(matched_rbox_iou(first, second), [1, 0.456137, 0.707182, 0.524151], atol=1e-6)


@pytest.mark.parametrize("offset", [0, 1e6])
def test_rotated_overlaps_equal_shapelys(offset):
    first, second = random_rboxes(40, 1), random_rboxes(30, 2)
    first[:, :2] += offset
    second[:, :2] += offset
    expected = by_shapely(rboxes_to_polys(first), rboxes_to_polys(second))
    np.testing.assert_allclose(pairwise_rbox_iou(first, second), expected, atol=1e-8)


def test_coinciding_boxes_overlap_fully_whatever_their_description():
    boxes = random_rboxes(50, 3)
    turned = boxes + [0, 0, 0, 0, np.pi]
    swapped = boxes[:, [0, 1, 3, 2, 4]] + [0, 0, 0, 0, np.pi / 2]
    for other in (boxes, turned, swapped):
        np.testing.assert_allclose(matched_rbox_iou(boxes, other), 1, atol=1e-9)


def test_boxes_that_differ_by_rounding_overlap_fully():
    """Corners on the line of a cut may fall to either side in turn: more corners than a plain cut makes."""
    rng = np.random.default_rng(1)
    count = 20000
    boxes = np.column_stack(
        [rng.uniform(0, 500, (count, 2)), rng.uniform(4, 120, (count, 2)), rng.uniform(-9, 9, count)]
    )
    polys = rboxes_to_polys(boxes).reshape(-1, 4, 2)
    nearly, areas = polys + rng.normal(0, 1e-13, polys.shape), poly_areas(polys)
    for shared_areas in (clipping.convex_intersection_areas, clipping.rectangle_intersection_areas):
        np.testing.assert_allclose(shared_areas(polys, nearly), areas, rtol=1e-9)


def test_rectangles_are_told_from_other_shapes():
    boxes = random_rboxes(200, 4, spread=1e4) * [1, 1, 10, 1, 1]
    polys = rboxes_to_polys(boxes).reshape(-1, 4, 2)
    assert clipping.is_rectangle(polys).all() and clipping.is_rectangle(polys[:, ::-1]).all()
    moved = polys.copy()
    moved[:, 2] += 1e-6
    assert not clipping.is_rectangle(moved).any()
    sheared = polys + (polys - polys.mean(1, keepdims=True))[..., ::-1] * 1e-3
    assert not clipping.is_rectangle(sheared)[np.abs(np.cos(2 * boxes[:, 4])) > 0.1].any()
    assert not clipping.is_rectangle(np.zeros((1, 4, 2))).any()


def test_both_ways_to_share_an_area_agree():
    rng = np.random.default_rng(8)
    rectangles = rboxes_to_polys(random_rboxes(3000, 8, spread=60)).reshape(-1, 4, 2)
    corners = np.sort(rng.uniform(0, 2 * np.pi, (3000, 4)), 1)  # on an ellipse: convex
    shapes = np.stack([40 * np.cos(corners), 25 * np.sin(corners)], -1) + rng.uniform(0, 60, (3000, 1, 2))
    expected = clipping.convex_intersection_areas(shapes, rectangles)
    for turned in (shapes, shapes[:, ::-1]):
        got = clipping.rectangle_intersection_areas(rectangles, turned)
        np.testing.assert_allclose(got, expected, atol=1e-9)
    assert 0.3 < (expected > 0).mean() < 0.95


def test_hand_drawn_shapes_equal_shapelys():
    rng = np.random.default_rng(5)
    first = np.concatenate([rng.uniform(0, 20, (20, 8)), [CONCAVE]])
    second = rboxes_to_polys(random_rboxes(15, 6, spread=20))
    simple = shapely.is_valid(shapely.polygons(first.reshape(-1, 4, 2)))
    assert 5 < simple.sum() < 21
    np.testing.assert_allclose(
        pairwise_poly_iou(first[simple], second), by_shapely(first[simple], second), atol=1e-9
    )
    np.testing.assert_allclose(poly_areas(np.array([CROSSED, CONCAVE])), [50, 30])
    square = [0, 0, 10, 0, 10, 10, 0, 10]
    np.testing.assert_allclose(matched_poly_iou(np.array([CROSSED]), np.array([square])), [0.5])


def test_shared_area_over_the_first():
    first, second = np.array([[0, 0, 10, 0, 10, 10, 0, 10]]), np.array([[5, 0, 30, 0, 30, 10, 5, 10]])
    np.testing.assert_allclose(matched_poly_iou(first, second, "iof"), [0.5])
    np.testing.assert_allclose(matched_poly_iou(first, second), [50 / 300])
    with pytest.raises(ConfigError, match="iof"):
        matched_poly_iou(first, second, "iofs")


def test_lines_points_and_touching_boxes_overlap_nothing():
    square = np.array([[0, 0, 10, 0, 10, 10, 0, 10]])
    line, point = np.array([[0, 0, 10, 0, 10, 0, 0, 0]]), np.array([[5, 5] * 4])
    for other in (line, point, square + [10, 0] * 4):
        assert matched_poly_iou(square, other)[0] == 0
    assert matched_poly_iou(point, point)[0] == 0


def test_empty_lists():
    none, some = np.zeros((0, 5)), random_rboxes(3, 1)
    assert pairwise_rbox_iou(none, some).shape == (0, 3)
    assert pairwise_rbox_iou(some, none).shape == (3, 0)
    assert matched_rbox_iou(none, none).shape == (0,)
    assert nms_polys(np.zeros((0, 8)), np.zeros(0), 0.1).shape == (0,)


def test_pairs_meet_only_within_their_group():
    polys = rboxes_to_polys(random_rboxes(30, 8))
    groups = np.arange(30) % 3
    rows, columns = candidate_pairs(polys, polys, groups, groups)
    everything = set(zip(*map(np.ndarray.tolist, candidate_pairs(polys, polys)), strict=True))
    wanted = {(i, j) for i, j in everything if groups[i] == groups[j]}
    assert set(zip(rows.tolist(), columns.tolist(), strict=True)) == wanted and len(wanted) < len(everything)


@pytest.mark.parametrize("spread", [60, 20000])  # crowded: a tree; spread out: a sweep
def test_candidates_are_the_pairs_that_touch(spread, monkeypatch):
    first, second = (rboxes_to_polys(random_rboxes(count, count, spread)) for count in (300, 200))
    first[0] = second[0] + [second[0, 0::2].max() - second[0, 0::2].min(), 0] * 4  # side by side
    sweeps = []
    monkeypatch.setattr(candidates, "_sweep", lambda *boxes, _sweep=candidates._sweep: note(_sweep(*boxes)))

    def note(pairs):
        sweeps.append(pairs is not None)
        return pairs

    rows, columns = candidate_pairs(first, second)
    boxes, others = polys_to_xyxy(first), polys_to_xyxy(second)
    low, high = (pick(boxes[:, None, part], others[:, part]) for pick, part in (
        (np.maximum, slice(0, 2)), (np.minimum, slice(2, 4))
    ))  # fmt: skip
    np.testing.assert_array_equal(np.stack([rows, columns], 1), np.argwhere((low <= high).all(2)))
    assert sweeps == [spread > 1000] and len(rows) > 0


def test_bounds_are_never_below_the_shared_area():
    first, second = (rboxes_to_polys(random_rboxes(2000, seed)) for seed in (11, 12))
    areas = poly_areas(first), poly_areas(second)
    most, shared = shared_area_bounds(first, second, *areas), intersection_areas(first, second)
    assert (most >= shared - 1e-9).all() and (most < 1.5 * shared)[shared > 0].mean() > 0.1


@pytest.mark.parametrize("spread", [60, 1500])
def test_pairs_within_a_list_are_the_pairs_of_it_with_itself(spread):
    polys, groups = rboxes_to_polys(random_rboxes(300, 3, spread)), np.arange(300) % 2
    rows, columns = candidate_pairs(polys, polys, groups, groups)
    once = rows < columns
    found = candidates.pairs_within(polys, groups)
    assert (np.diff(found[0]) >= 0).all() and len(found[0]) > 0
    assert set(zip(*found, strict=True)) == set(zip(rows[once], columns[once], strict=True))
    assert len(found[0]) == once.sum()


@pytest.mark.parametrize("threshold", [0.1, 0.5])
def test_suppression_equals_a_double_loop(threshold):
    polys = rboxes_to_polys(random_rboxes(80, 9))
    scores = np.round(np.random.default_rng(9).random(80), 1)  # with ties
    groups = np.arange(80) % 2
    overlaps = by_shapely(polys, polys)
    kept = []
    for row in np.argsort(-scores, kind="stable"):
        if all(groups[row] != groups[other] or overlaps[row, other] <= threshold for other in kept):
            kept.append(row)
    np.testing.assert_array_equal(nms_polys(polys, scores, threshold, groups), kept)


def test_suppression_takes_a_threshold_per_row():
    square = np.array([0.0, 0, 10, 0, 10, 10, 0, 10])
    polys = np.stack([square, square + [5, 0] * 4, square + [100, 0] * 4, square + [105, 0] * 4])
    kept = nms_polys(polys, np.array([0.9, 0.8, 0.7, 0.6]), np.array([0.5, 0.5, 0.1, 0.1]))
    assert kept.tolist() == [0, 1, 2]
