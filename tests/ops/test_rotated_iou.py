"""Rotated overlaps against float64 polygon clipping, closed forms and the reference's numbers."""

import numpy as np
import pytest
import shapely

from jld.boxes.rotated import matched_rbox_iou, pairwise_rbox_iou, rboxes_to_polys
from jld.errors import ConfigError
from jld.ops.rotated_iou import aligned_rotated_iou, pairwise_rotated_iou
from jld.toolchain import jittor as jt
from tests.golden_cases import case
from tests.ops.rotated_scenes import degenerate_pairs, random_rboxes

IOU_ATOL = {"edge": 1e-2}  # nearly coincident edges: the reference works in float32


def pairwise(first, second, mode="iou"):
    return pairwise_rotated_iou(jt.array(np.float32(first)), jt.array(np.float32(second)), mode).numpy()


def aligned(first, second, mode="iou"):
    return aligned_rotated_iou(jt.array(np.float32(first)), jt.array(np.float32(second)), mode).numpy()


@pytest.mark.parametrize("mode", ["iou", "iof"])
def test_random_pairs_equal_polygon_clipping(mode):
    rng = np.random.default_rng(0)
    first, second = random_rboxes(rng, 300, 300), random_rboxes(rng, 400, 300)
    expected = pairwise_rbox_iou(first, second, mode)
    assert 0.02 < (expected > 0).mean() < 0.5
    np.testing.assert_allclose(pairwise(first, second, mode), expected, atol=1e-6)
    near = second[:300] * np.float32([0.2, 0.2, 1, 1, 1])
    towards = first * np.float32([0.2, 0.2, 1, 1, 1])
    np.testing.assert_allclose(aligned(towards, near, mode), matched_rbox_iou(towards, near, mode), atol=1e-6)


@pytest.mark.parametrize("name", degenerate_pairs())
def test_degenerate_pairs_equal_polygon_clipping(name):
    first, second = degenerate_pairs()[name]
    assert len(first) >= 1000
    for mode in ("iou", "iof"):
        ours = aligned(first, second, mode)
        np.testing.assert_allclose(ours, matched_rbox_iou(first, second, mode), atol=1e-6)
        assert (ours >= 0).all() and (ours <= 1).all()


def test_a_hundred_thousand_pairs_equal_shapelys():
    """Random pairs and all kinds of degenerate ones, by the operator and by NumPy."""
    rng = np.random.default_rng(3)
    pairs = [tuple(random_rboxes(rng, 75000, 60) for _ in range(2)), *degenerate_pairs().values()]
    first, second = (np.concatenate(side) for side in zip(*pairs, strict=True))
    assert len(first) > 100_000
    shapes = [shapely.polygons(rboxes_to_polys(side).reshape(-1, 4, 2)) for side in (first, second)]
    shared = shapely.area(shapely.intersection(*shapes))
    areas = [np.float64(side[:, 2]) * side[:, 3] for side in (first, second)]
    has_area = np.minimum(*areas) > 1e-14
    expected = np.where(has_area, shared / np.where(has_area, sum(areas) - shared, 1), 0)
    assert 0.3 < (expected > 0).mean() < 0.7
    np.testing.assert_allclose(matched_rbox_iou(first, second), expected, atol=1e-8)
    np.testing.assert_allclose(aligned(first, second), expected, atol=1e-6)


def test_known_values():
    """Pairs whose overlap follows from a drawing."""
    square, tall = [0, 0, 2, 2, 0], [0, 0, 2, 4, 0]
    octagon = 8 * (np.sqrt(2) - 1)  # shared by a square of side 2 and the same square turned by 45 degrees
    pairs = [
        (square, square, 1), (square, [0, 0, 2, 2, np.pi / 2], 1), (square, tall, 0.5),
        (square, [0, 0, 2, 2, np.pi / 4], octagon / (8 - octagon)), (square, [2, 0, 2, 2, 0], 0),
        (square, [1, 1, 2, 2, 0], 1 / 7), (tall, [0, 0, 4, 2, np.pi / 2], 1), (square, [0, 0, 0, 2, 0], 0),
        (square, [0, 0, 0, 0, 0], 0), ([0, 0, 0, 0, 0], [0, 0, 0, 0, 0], 0),
        (square, [0, 0, 2, 2, 10 * np.pi], 1),
    ]  # fmt: skip
    first, second, expected = (np.array(column) for column in zip(*pairs, strict=True))
    np.testing.assert_allclose(aligned(first, second), expected, atol=2e-5)  # angles are float32


def test_card_values():
    first = [[50, 40, 30, 10, 0.5], [50, 40, 30, 10, 0.5], [10, 10, 20, 20, 0.3], [0, 0, 100, 4, 0]]
    second = [[50, 40, 30, 10, 0.5], [53, 38, 24, 12, 0.9], [10, 10, 20, 20, 1.1], [0, 0, 100, 4, 0.05]]
    np.testing.assert_allclose(aligned(first, second), [1, 0.456137, 0.707182, 0.524151], atol=1e-6)


def same_overlaps(ours, reference, atol):
    """Except where the reference's float32 search loses the corners of coinciding boxes."""
    differs = np.abs(ours - reference) > atol
    assert (ours[differs] > 0.999).all() and differs.sum() <= 2
    np.testing.assert_allclose(ours[~differs], reference[~differs], atol=atol)


@pytest.mark.golden
def test_overlaps_are_the_references():
    _, arrays = case("s_box_iou_rotated")
    sets = sorted({key.split("/")[1] for key in arrays if key.startswith("in/")})
    assert sets and {key.split("/")[2] for key in arrays if key.startswith("out/")} == {
        f"{mode}{suffix}" for mode in ("iou", "iof") for suffix in ("", "_aligned", "_ccw")
    }
    for name in sets:
        first, second = arrays[f"in/{name}/a"], arrays[f"in/{name}/b"]
        atol = IOU_ATOL.get(name, 1e-4)
        counter_clockwise = [boxes * np.float32([1, 1, 1, 1, -1]) for boxes in (first, second)]
        for mode in ("iou", "iof"):
            same_overlaps(pairwise(first, second, mode), arrays[f"out/{name}/{mode}"], atol)
            same_overlaps(pairwise(*counter_clockwise, mode), arrays[f"out/{name}/{mode}_ccw"], atol)
            same_overlaps(
                aligned(first, second[: len(first)], mode), arrays[f"out/{name}/{mode}_aligned"], atol
            )


def test_shapes_broadcast_and_may_be_empty():
    rng = np.random.default_rng(1)
    boxes, others = random_rboxes(rng, 6, 60).reshape(2, 3, 5), random_rboxes(rng, 4, 60)
    expected = pairwise_rbox_iou(boxes.reshape(6, 5), others).reshape(2, 3, 4)
    np.testing.assert_allclose(pairwise(boxes, others), expected, atol=1e-6)
    np.testing.assert_allclose(aligned(boxes[:, :, None], others), expected, atol=1e-6)
    assert pairwise(boxes, np.zeros((0, 5))).shape == (2, 3, 0)
    assert aligned(np.zeros((0, 5)), np.zeros((0, 5))).shape == (0,)


def test_unknown_mode_is_named():
    with pytest.raises(ConfigError, match="did you mean"):
        pairwise(np.zeros((1, 5)), np.zeros((1, 5)), "iov")
