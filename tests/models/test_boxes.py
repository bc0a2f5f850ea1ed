"""What box outputs stand for: reference numbers, closed forms, round trips in every frame, errors."""

from types import SimpleNamespace

import numpy as np
import pytest

from jld.boxes.coders import DeltaBoxCoder
from jld.boxes.priors import AnchorGenerator
from jld.boxes.rotated.anchors import RotatedAnchorGenerator
from jld.boxes.rotated.coders import DeltaXYWHAOBBoxCoder
from jld.errors import ConfigError
from jld.losses import KFLoss, L1Loss
from jld.models.boxes import (
    FRAMES,
    DeltaBoxes,
    DistanceBoxes,
    DistributionBoxes,
    box_loss,
    deltas_or_bins,
    distances_or_bins,
    in_frame,
    mean_the_same,
    targets_or_places,
)
from jld.ops.expectation import expected_bins, expected_values
from jld.toolchain import jittor as jt
from tests.golden_cases import case, fill

DELTA_RANGE, ANGLE_RANGE = (-2.0, 2.0), (-5.0, 2.0)
ROTATED_RANGES = (DELTA_RANGE,) * 4 + (ANGLE_RANGE,)
CODER = DeltaBoxCoder(stds=(0.1, 0.1, 0.2, 0.2))
ROTATED_CODER = DeltaXYWHAOBBoxCoder(angle_version="le135")
PLACES = AnchorGenerator((8, 16), octave_base_scale=2).priors([(2, 3), (1, 2)])
ROTATED_PLACES = RotatedAnchorGenerator((8, 16)).priors([(2, 3), (1, 2)])


def rotated_supports(num_bins):
    return DistributionBoxes(DeltaBoxes(ROTATED_CODER), num_bins, ROTATED_RANGES).supports


@pytest.mark.golden
def test_expected_deltas_of_the_rotated_head():
    meta, arrays = case("r_integral")
    num_bins = arrays["out/project"].size
    supports = rotated_supports(num_bins)
    np.testing.assert_allclose(supports[:4], np.tile(arrays["out/project"], (4, 1)), atol=1e-6)
    np.testing.assert_allclose(supports[4], arrays["out/project_angle"], atol=1e-6)
    logits = fill.generate(meta["generated"]["logits"]).reshape(-1, 5, num_bins)
    got = expected_values(jt.array(logits), supports).numpy()
    np.testing.assert_allclose(got, arrays["out/deltas"], rtol=1e-5, atol=1e-6)


def test_expected_values_closed_form():
    ramp = np.broadcast_to(np.arange(9, dtype=np.float32) / 2, (5, 9))
    logits = jt.array(np.stack([ramp, np.zeros((5, 9), np.float32)]))
    boxes = DistributionBoxes(DeltaBoxes(ROTATED_CODER), 9, ROTATED_RANGES)
    np.testing.assert_allclose(
        boxes.numbers(logits).numpy(), [[1.279805] * 4 + [0.739659], [0] * 4 + [-1.5]], atol=1e-6
    )


def test_supports_that_count_bins_give_the_expected_bin():
    logits = jt.array(np.random.default_rng(0).standard_normal((3, 4, 17)).astype(np.float32))
    counting = DistributionBoxes(DistanceBoxes("strides"), 17)
    np.testing.assert_array_equal(counting.supports, [np.arange(17)] * 4)
    np.testing.assert_allclose(counting.numbers(logits).numpy(), expected_bins(logits).numpy(), rtol=1e-6)


def test_supports_need_width_and_bins():
    with pytest.raises(ConfigError, match="no width"):
        DistributionBoxes(DistanceBoxes(), 9, ((0.0, 1.0), (2.0, 2.0)))
    with pytest.raises(ConfigError, match="2 or more"):
        DistributionBoxes(DistanceBoxes(), 1)


def random_boxes(seed=0):
    """Boxes [2, P, 4] around the centres of the places, which distances can reach."""
    rng = np.random.default_rng(seed)
    centers = PLACES.centers.numpy()
    sides = rng.uniform(2, 30, (2, len(PLACES), 4))
    return np.float32(np.concatenate([centers - sides[..., :2], centers + sides[..., 2:]], -1))


def seen_from(frame, boxes):
    """The same boxes [N, P, 4] in a frame, the way its comment defines it."""
    if frame == "strides":
        return boxes / PLACES.strides.numpy()[..., None]
    return boxes - np.tile(PLACES.centers.numpy(), 2) if frame == "point" else boxes


PLAIN = {
    "deltas": DeltaBoxes(CODER),
    "distances": DistanceBoxes(),
    "distances in strides": DistanceBoxes("strides"),
}


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("name", PLAIN)
def test_decoding_undoes_encoding_in_every_frame(name, frame):
    boxes, wanted = PLAIN[name], random_boxes()
    numbers = boxes.encode(jt.array(wanted), PLACES)
    assert tuple(numbers.shape) == (2, len(PLACES), *boxes.shape)
    expected = seen_from(frame, wanted)
    np.testing.assert_allclose(boxes.decode(numbers, PLACES, frame).numpy(), expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(in_frame(jt.array(wanted), PLACES, frame).numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("frame", FRAMES)
def test_distributions_decode_as_their_expectations(frame):
    """All mass on two neighbouring bins expects the number between them."""
    boxes, wanted = DistributionBoxes(DistanceBoxes("strides"), 6), random_boxes()
    numbers = boxes.encode(jt.array(wanted), PLACES).numpy()
    low = np.floor(numbers)
    probs = np.maximum(0, 1 - np.abs(numbers[..., None] - np.arange(6)))
    assert low.max() <= 4 and (numbers >= 0).all()
    logits = jt.array(np.log(np.maximum(probs, 1e-30)).astype(np.float32))
    assert tuple(logits.shape[2:]) == boxes.shape == (4, 6)
    found = boxes.decode(logits, PLACES, frame).numpy()
    np.testing.assert_allclose(found, seen_from(frame, wanted), rtol=1e-4, atol=1e-4)


def test_rotated_boxes_come_back():
    rng = np.random.default_rng(1)
    priors = ROTATED_PLACES.boxes.numpy()
    shift = rng.uniform(-0.2, 0.2, (2, *priors.shape[1:])) * [1, 1, 1, 1, 3]
    wanted = np.float32(
        priors * [1, 1, 1, 1, 0] + shift * np.concatenate([priors[..., [2, 3] * 2], priors[..., 4:] + 1], -1)
    )
    boxes = DeltaBoxes(ROTATED_CODER)
    assert boxes.num_sides == 5 and boxes.shape == (5,)
    deltas = boxes.encode(jt.array(wanted), ROTATED_PLACES)
    found = boxes.decode(deltas, ROTATED_PLACES).numpy()
    np.testing.assert_allclose(corners(found), corners(wanted), rtol=1e-4, atol=1e-3)
    spread = DistributionBoxes(boxes, 8, ROTATED_RANGES)
    np.testing.assert_array_equal(spread.encode(jt.array(wanted), ROTATED_PLACES).numpy(), deltas.numpy())
    assert spread.shape == (5, 8) and spread.key == "box_logits"


def corners(rboxes):
    """Sorted corners of rotated boxes: half a turn or sides that trade names change nothing."""
    x, y, width, height, angle = np.moveaxis(rboxes.astype(np.float64), -1, 0)
    cos, sin = np.cos(angle), np.sin(angle)
    points = [(a * width / 2, b * height / 2) for a in (-1, 1) for b in (-1, 1)]
    points = np.stack([np.stack([x + u * cos - v * sin, y + u * sin + v * cos], -1) for u, v in points], -2)
    return np.sort((points * [1, 1.7]).sum(-1), -1)


@pytest.mark.parametrize(("activation", "expected"), [("exp", [np.e, 1]), ("relu", [16, 0])])
def test_maps_become_distances_in_px(activation, expected):
    x = jt.array(np.float32([1, 0]).reshape(1, 2, 1, 1))
    found = DistanceBoxes(activation=activation).from_map(x, 16).numpy().ravel()
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_equal_numbers_stand_for_equal_boxes():
    bins, ranged = distances_or_bins(16), DistributionBoxes(DeltaBoxes(CODER), 17, (DELTA_RANGE,) * 4)
    different = [
        DeltaBoxes(CODER),
        DeltaBoxes(DeltaBoxCoder()),
        DistanceBoxes(),
        DistanceBoxes("strides"),
        bins,
        distances_or_bins(8),
        ranged,
        DistributionBoxes(DeltaBoxes(CODER), 17, (ANGLE_RANGE,) * 4),
        DistributionBoxes(DeltaBoxes(DeltaBoxCoder()), 17, (DELTA_RANGE,) * 4),
    ]
    for i, first in enumerate(different):
        for j, second in enumerate(different):
            assert mean_the_same(first, second) == (i == j), (first, second)
    again = DistributionBoxes(DeltaBoxes(DeltaBoxCoder(stds=(0.1, 0.1, 0.2, 0.2))), 17, (DELTA_RANGE,) * 4)
    assert ranged.supports.shape == (4, 17), "what is kept of one must not tell it from the other"
    assert mean_the_same(ranged, again) and mean_the_same(again, ranged)
    assert mean_the_same(DistanceBoxes(activation="exp"), DistanceBoxes(activation="relu")), "both in px"


def test_either_deltas_or_bins():
    assert deltas_or_bins(CODER, None, "Head") == DeltaBoxes(CODER)
    assert deltas_or_bins(None, 7, "Head") == distances_or_bins(7)
    for arguments, message in (((None, None), "Head .* not none"), ((CODER, 7), "not both")):
        with pytest.raises(ConfigError, match=message):
            deltas_or_bins(*arguments, "Head")


def test_places_stand_in_where_nothing_is_assigned():
    wanted = random_boxes()
    positive = np.float32(np.arange(2 * len(PLACES)).reshape(2, -1) % 3 == 0)
    target_boxes = jt.array(wanted * positive[..., None])
    assignment = SimpleNamespace(positive_mask=jt.array(positive), target_boxes=target_boxes)
    found = targets_or_places(PLACES, assignment).numpy()
    np.testing.assert_array_equal(found, np.where(positive[..., None] > 0, wanted, PLACES.boxes.numpy()))


@pytest.mark.parametrize("frame", [*FRAMES, None])
def test_losses_compare_boxes_in_a_frame_or_the_numbers(frame):
    boxes, wanted, given = PLAIN["deltas"], random_boxes(), random_boxes(seed=1)
    weight = np.float32(np.random.default_rng(2).uniform(size=given.shape[:2]))
    prediction = boxes.encode(jt.array(given), PLACES)
    found = box_loss(
        L1Loss(), boxes, prediction, PLACES, jt.array(wanted),
        frame=frame, weight=jt.array(weight), avg_factor=3.0,
    )  # fmt: skip
    if frame is None:
        anchors = PLACES.boxes.numpy().astype(np.float64)
        pair = [CODER.encode(anchors, values.astype(np.float64)) for values in (given, wanted)]
    else:
        pair = [seen_from(frame, values.astype(np.float64)) for values in (given, wanted)]
    expected = (np.abs(pair[0] - pair[1]).sum(-1) * weight).sum() / 3
    np.testing.assert_allclose(found.item(), expected, rtol=1e-5)


def test_losses_that_take_both_are_given_both():
    boxes, wanted = PLAIN["deltas"], random_boxes()
    prediction = boxes.encode(jt.array(random_boxes(seed=1)), PLACES)

    class Both:
        uses_deltas_and_boxes = True

        def __call__(self, pred, target, *, weight, avg_factor, pred_decode, targets_decode):
            return pred, target, pred_decode, targets_decode

    found = box_loss(
        Both(), boxes, prediction, PLACES, jt.array(wanted), frame=None, weight=None, avg_factor=1.0
    )
    expected = prediction, boxes.encode(jt.array(wanted), PLACES), boxes.decode(prediction, PLACES), wanted
    for got, value in zip(found, expected, strict=True):
        np.testing.assert_array_equal(got.numpy(), np.asarray(value if value is wanted else value.numpy()))


def test_a_loss_of_deltas_and_boxes_is_refused_where_boxes_alone_are_compared():
    with pytest.raises(ConfigError, match="KFLoss compares deltas and boxes, but this head"):
        box_loss(
            KFLoss(),
            DeltaBoxes(ROTATED_CODER),
            None,
            PLACES,
            None,
            frame="image",
            weight=None,
            avg_factor=1.0,
        )
