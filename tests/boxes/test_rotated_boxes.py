"""Rotated boxes: worked examples, and properties that must hold for any box."""

import math

import numpy as np
import pytest

from jld.boxes.rotated import (
    ANGLE_VERSIONS,
    check_version,
    edges_to_rboxes,
    flip_polys,
    flip_rboxes,
    is_loadable,
    polys_to_rboxes,
    polys_to_xyxy,
    rboxes_to_polys,
    rboxes_to_xyxy,
    regularize_rboxes,
    reorder_corners,
    rotate_rboxes,
    scale_rboxes,
    upright_rboxes,
    wrap_angles,
    xyxy_to_rboxes,
)
from jld.boxes.rotated.angles import RANGE_START
from jld.errors import ConfigError

RECTANGLE = [10, 10, 50, 30, 40, 50, 0, 30]
QUAD = [674, 375, 683, 375, 684, 394, 675, 395]


@pytest.fixture
def rboxes():
    rng = np.random.default_rng(7)
    sizes = rng.uniform(3, 60, (200, 2))
    boxes = np.column_stack(
        [rng.uniform(0, 200, (200, 2)), sizes, rng.uniform(-4 * math.pi, 4 * math.pi, 200)]
    )
    boxes[:12, 4] = np.arange(-6, 6) * math.pi / 4  # the ends of all ranges
    return boxes


def corner_sets(rboxes):
    return np.sort(np.round(reorder_corners(rboxes_to_polys(rboxes)), 6), axis=-1)


@pytest.mark.parametrize("version", ANGLE_VERSIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_regularizing_gives_the_same_rectangle_in_range_and_twice_changes_nothing(rboxes, version, dtype):
    rboxes = rboxes.astype(dtype)
    once = regularize_rboxes(rboxes, version)
    assert once.dtype == dtype
    angles = once[:, 4].astype(np.float64)
    if version == "oc":
        assert (angles > 0).all() and (angles <= float(dtype(math.pi / 2))).all()
    else:
        start = RANGE_START[version]
        assert (angles >= float(dtype(start))).all() and (angles < start + math.pi + 1e-6).all()
        assert (once[:, 2] >= once[:, 3]).all()
    np.testing.assert_array_equal(regularize_rboxes(once, version), once)
    # float32 keeps about five digits of an angle of a dozen radians.
    np.testing.assert_allclose(
        corner_sets(once), corner_sets(rboxes), atol=1e-3 if dtype is np.float32 else 2e-6
    )


@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_wrapping_twice_changes_nothing_and_turns_are_whole_half_turns(version):
    angles = np.linspace(-9, 9, 145)
    once = wrap_angles(angles, version)
    np.testing.assert_array_equal(wrap_angles(once, version), once)
    half_turns = (angles - once) / math.pi
    np.testing.assert_allclose(half_turns, np.round(half_turns), atol=1e-12)
    assert (
        wrap_angles(
            np.array([np.nextafter(np.float32(RANGE_START.get(version, 0)), np.float32(-9))]), version
        )
        < 3
    )


def test_angle_just_below_the_range_does_not_land_on_its_open_end():
    angles = np.array([-math.pi / 2 - 1e-18 - 1e-16, np.nextafter(-math.pi / 2, -9)])
    assert (wrap_angles(angles, "le90") < math.pi / 2).all()


@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_polygon_round_trip(rboxes, version):
    regular = regularize_rboxes(rboxes, version)
    polys = rboxes_to_polys(regular)
    np.testing.assert_allclose(corner_sets(edges_to_rboxes(polys, version)), corner_sets(regular), atol=2e-6)
    # OpenCV's rectangle search works in float32.
    np.testing.assert_allclose(corner_sets(polys_to_rboxes(polys, version)), corner_sets(regular), atol=2e-3)


@pytest.mark.parametrize("direction", ["horizontal", "vertical", "diagonal"])
@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_flipping_twice_is_the_identity_and_flips_the_corners(rboxes, version, direction):
    regular = regularize_rboxes(rboxes, version)
    flipped = flip_rboxes(regular, direction, (80, 100), version)
    np.testing.assert_allclose(
        np.sort(reorder_corners(flip_polys(rboxes_to_polys(regular), direction, (80, 100))), -1),
        np.sort(reorder_corners(rboxes_to_polys(flipped)), -1),
        atol=1e-9,
    )
    back = flip_rboxes(flipped, direction, (80, 100), version)
    np.testing.assert_allclose(corner_sets(back), corner_sets(regular), atol=2e-6)
    # Away from the ends of the ranges the numbers themselves come back.
    inner = np.abs(np.mod(regular[:, 4] + math.pi / 8, math.pi / 4) - math.pi / 8) > 1e-3
    np.testing.assert_allclose(back[inner], regular[inner], atol=1e-9)


def test_flips_match_the_worked_examples():
    tilted = flip_rboxes(np.array([30, 40, 20, 10, 0.4]), "horizontal", (80, 100), "oc")
    np.testing.assert_allclose(tilted, [69, 40, 10, 20, 1.170796], atol=1e-6)
    upright = flip_rboxes(np.array([30, 40, 20, 10, math.pi / 2]), "horizontal", (80, 100), "oc")
    np.testing.assert_allclose(upright, [69, 40, 20, 10, math.pi / 2])


@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_rectangles_match_the_worked_examples(version):
    expected = [25, 30, 44.72136, 22.36068, 0.463648]
    np.testing.assert_allclose(polys_to_rboxes(np.array(RECTANGLE), version), expected, atol=1e-4)
    np.testing.assert_allclose(edges_to_rboxes(np.array([RECTANGLE]), version), [expected], atol=1e-5)


def test_quadrilateral_matches_the_worked_examples():
    least = [679.0137, 384.7743, 20.0250, 9.0387, 1.52084]
    np.testing.assert_allclose(polys_to_rboxes(np.array(QUAD), "oc"), least, atol=1e-4)
    np.testing.assert_allclose(polys_to_rboxes(np.array(QUAD), "le90"), least, atol=1e-4)
    np.testing.assert_allclose(
        polys_to_rboxes(np.array(QUAD), "le135"), [679, 384.5, 19.0263, 9, 1.52084], atol=1e-4
    )


def test_upright_boxes_match_the_worked_examples():
    upright = upright_rboxes(np.array([50, 40, 30, 10, 0.5]), "oc")
    np.testing.assert_allclose(upright, [50, 40, 23.158592, 31.121731, 1.570796], atol=1e-5)
    wide, tall = [10, 10, 30, 20], [10, 10, 20, 30]
    np.testing.assert_allclose(xyxy_to_rboxes(wide, "le90"), [20, 15, 20, 10, 0])
    np.testing.assert_allclose(xyxy_to_rboxes(tall, "le90"), [15, 20, 20, 10, -math.pi / 2])
    np.testing.assert_allclose(xyxy_to_rboxes(tall, "le135"), [15, 20, 20, 10, math.pi / 2])
    for version in ANGLE_VERSIONS:
        np.testing.assert_allclose(rboxes_to_xyxy(xyxy_to_rboxes(tall, version)), tall, atol=1e-12)


def test_upright_box_is_the_bound_of_the_corners(rboxes):
    np.testing.assert_allclose(rboxes_to_xyxy(rboxes), polys_to_xyxy(rboxes_to_polys(rboxes)), atol=1e-9)


def test_small_objects_are_not_loadable():
    polys = np.array([[0, 0, 10, 0, 10, 1.9, 0, 1.9], [0, 0, 10, 0, 10, 2, 0, 2], [5, 5] * 4])
    for version in ANGLE_VERSIONS:
        assert is_loadable(polys_to_rboxes(polys, version)).tolist() == [False, True, False]


def test_rotation_moves_corners_like_points(rboxes):
    angle, center = 0.7, (60.0, 20.0)
    rotation = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    moved = (rboxes_to_polys(rboxes).reshape(-1, 4, 2) - center) @ rotation.T + center
    for version in ANGLE_VERSIONS:
        ours = np.sort(reorder_corners(rboxes_to_polys(rotate_rboxes(rboxes, angle, center, version))), -1)
        np.testing.assert_allclose(ours, np.sort(reorder_corners(moved.reshape(-1, 8)), -1), atol=1e-6)


def test_scaling_multiplies_centres_and_edges():
    scaled = scale_rboxes(np.array([[10, 20, 30, 40, 0.5]], np.float32), 2.0, 0.5)
    np.testing.assert_allclose(scaled, [[20, 10, 30, 40, 0.5]])
    assert scaled.dtype == np.float32


def test_empty_lists_pass_through():
    for version in ANGLE_VERSIONS:
        assert polys_to_rboxes(np.zeros((0, 8)), version).shape == (0, 5)
        assert edges_to_rboxes(np.zeros((0, 8)), version).shape == (0, 5)
        assert regularize_rboxes(np.zeros((0, 5)), version).shape == (0, 5)
        assert flip_rboxes(np.zeros((0, 5)), "horizontal", (4, 4), version).shape == (0, 5)
        assert upright_rboxes(np.zeros((0, 5)), version).shape == (0, 5)
    assert rboxes_to_polys(np.zeros((0, 5))).shape == (0, 8)
    assert reorder_corners(np.zeros((0, 8))).shape == (0, 8)


def test_unknown_names_say_the_nearest():
    with pytest.raises(ConfigError, match="did you mean 'le90'"):
        check_version("le9")
    with pytest.raises(ConfigError, match="did you mean 'vertical'"):
        flip_rboxes(np.zeros((1, 5)), "vertically", (4, 4), "oc")
