"""Rotated coders against the method card, the reference's numbers and their own inverse."""

import itertools
import re

import numpy as np
import pytest

from jld.boxes.rotated import ANGLE_VERSIONS, matched_rbox_iou, regularize_rboxes
from jld.boxes.rotated.coders import DeltaXYWHAHBBoxCoder, DeltaXYWHAOBBoxCoder
from jld.boxes.rotated.midpoint import MidpointOffsetCoder
from jld.errors import ConfigError
from jld.registry import build
from jld.toolchain import jittor as jt
from tests.golden_cases import case, fill

# How the file's coders without options in their names were made: read off the numbers, exact to 1e-6.
STANDARDIZED = {
    "edge_swap": True,
    "proj_xy": True,
    "means": (0, 0.1, 0, -0.1, 0),
    "stds": (0.1, 0.1, 0.2, 0.2, 0.1),
}
MIDPOINT = {"stds": (1, 1, 1, 1, 0.5, 0.5)}
HORIZONTAL = {"edge_swap": True, "norm_factor": 2, "stds": (0.1, 0.1, 0.2, 0.2, 1)}
OPTIONS = re.compile(r"swap([01])_proj([01])_norm(\d+)")
WITH_GRADIENT = ("oc/swap0_proj0_norm0", "le90/swap1_proj1_norm0", "le135/swap0_proj1_norm2")


def close(ours, reference):
    scale = np.maximum(np.abs(reference), 100)  # coordinates of the order of 100 in float32
    np.testing.assert_array_less(np.abs(ours - reference) / scale, 1e-5)


def make(version, name):
    if name == "std":
        return DeltaXYWHAOBBoxCoder(version, **STANDARDIZED)
    swap, proj, norm = (int(digit) for digit in OPTIONS.fullmatch(name).groups())
    return DeltaXYWHAOBBoxCoder(version, bool(swap), bool(proj), norm or None)


@pytest.fixture(scope="module")
def arrays():
    _, arrays = case("s_coders")
    names = {tuple(key.split("/")[1:3]) for key in arrays if key.startswith("out/")}
    assert {version for version, _ in names} == set(ANGLE_VERSIONS)
    assert all(name in ("std", "hb", "mid") or OPTIONS.fullmatch(name) for _, name in names)
    return arrays


@pytest.mark.golden
@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_coders_equal_golden(arrays, version):
    anchors, boxes, deltas = (arrays[f"in/{version}/{key}"] for key in ("anchors", "gt", "deltas_used"))
    names = {key.split("/")[2] for key in arrays if key.startswith(f"out/{version}/")} - {"hb", "mid"}
    assert len(names) == 9
    for name in sorted(names):
        coder = make(version, name)
        expected = {
            key.split("/")[3]: value
            for key, value in arrays.items()
            if key.startswith(f"out/{version}/{name}/")
        }
        assert set(expected) <= {"encode", "decode", "decode_clip", "decode_grad", "roundtrip"}
        encoded = coder.encode(anchors, boxes)
        np.testing.assert_allclose(encoded, expected["encode"], rtol=1e-4, atol=1e-5)
        close(coder.decode(anchors, deltas), expected["decode"])
        if "roundtrip" in expected:
            close(coder.decode(anchors, encoded), expected["roundtrip"])
            clipped = expected["decode_clip"]
            width, height = (
                np.round(clipped[:, :2].max(0)) + 1
            )  # boxes beyond the image end on its last pixel
            close(coder.decode(anchors, deltas, (height, width)), clipped)


@pytest.mark.golden
@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_horizontal_coder_equals_golden(arrays, version):
    anchors = arrays[f"in/{version}/hb/boxes"]
    coder = DeltaXYWHAHBBoxCoder(version, **HORIZONTAL)
    encoded = coder.encode(anchors, arrays[f"in/{version}/gt"])
    np.testing.assert_allclose(encoded, arrays[f"out/{version}/hb/encode"], rtol=1e-4, atol=1e-4)
    close(coder.decode(anchors, arrays[f"in/{version}/deltas_used"]), arrays[f"out/{version}/hb/decode"])


@pytest.mark.golden
@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_midpoint_coder_equals_golden(arrays, version):
    meta, _ = case("s_coders")
    coder, anchors = MidpointOffsetCoder(version, **MIDPOINT), arrays[f"in/{version}/mid/boxes"]
    encoded = coder.encode(anchors, arrays[f"in/{version}/gt"])
    np.testing.assert_allclose(encoded, arrays[f"out/{version}/mid/encode"], rtol=1e-4, atol=1e-5)
    deltas = fill.generate(meta["generated"][f"{version}/mid/deltas"])
    close(coder.decode(anchors, deltas), arrays[f"out/{version}/mid/decode"])


@pytest.mark.golden
@pytest.mark.parametrize("name", WITH_GRADIENT)
def test_jittor_decodes_with_the_references_gradient(arrays, name):
    version, options = name.split("/")
    coder = make(version, options)
    anchors, boxes = (jt.array(arrays[f"in/{version}/{key}"]) for key in ("anchors", "gt"))
    deltas = jt.array(arrays[f"in/{version}/deltas_used"])
    decoded = coder.decode(anchors, deltas)
    gradient = jt.grad((decoded * jt.array(np.float32([1, 2, 3, 4, 5]))).sum(), deltas)
    close(decoded.numpy(), arrays[f"out/{name}/decode"])
    expected = arrays[f"out/{name}/decode_grad"]
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max())
    encoded = coder.encode(anchors, boxes).numpy()
    np.testing.assert_allclose(encoded, arrays[f"out/{name}/encode"], rtol=1e-4, atol=1e-5)


def random_boxes(version, count=500):
    rng = np.random.default_rng(3)
    rows = np.concatenate(
        [rng.uniform(0, 500, (count, 2)), rng.uniform(4, 120, (count, 2)), rng.uniform(-9, 9, (count, 1))], 1
    )
    return regularize_rboxes(rows, version)


@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_decoding_undoes_encoding(version):
    """The same rectangles; the same numbers wherever the angle has a range."""
    boxes, anchors = random_boxes(version), random_boxes(version)[::-1]
    for swap, proj, norm in itertools.product((False, True), (False, True), (None, 1, 0.5)):
        coder = DeltaXYWHAOBBoxCoder(version, swap, proj, norm, size_ratio_clip=1e-6)
        decoded = coder.decode(anchors, coder.encode(anchors, boxes))
        assert matched_rbox_iou(decoded, boxes).min() > 1 - 1e-9
        if version != "oc":
            np.testing.assert_allclose(decoded, boxes, atol=1e-8)
    upright = np.concatenate([anchors[:, :2] - anchors[:, 2:4] / 2, anchors[:, :2] + anchors[:, 2:4] / 2], 1)
    for swap, norm in itertools.product((False, True), (None, 2)):
        coder = DeltaXYWHAHBBoxCoder(version, swap, norm, size_ratio_clip=1e-6)
        decoded = coder.decode(upright, coder.encode(upright, boxes))
        assert matched_rbox_iou(decoded, boxes).min() > 1 - 1e-9


def test_midpoints_undo_encoding_in_numpy_and_jittor():
    boxes, anchors = random_boxes("le90", 60), random_boxes("le90", 60)[::-1]
    boxes[0, 4] = 0  # two corners on the top edge: the right one counts
    upright = np.concatenate([anchors[:, :2] - anchors[:, 2:4] / 2, anchors[:, :2] + anchors[:, 2:4] / 2], 1)
    coder = MidpointOffsetCoder("le90", means=(0, 0, 0.1, 0, 0, 0), size_ratio_clip=1e-6, **MIDPOINT)
    deltas = coder.encode(upright, boxes)
    assert deltas[0, 4] == 1
    decoded = coder.decode(upright, deltas)
    iou, is_tilted = matched_rbox_iou(decoded, boxes), np.abs(np.sin(2 * boxes[:, 4])) > 0.1
    assert iou[is_tilted].min() > 1 - 1e-9 and iou[0] > 1 - 1e-9  # tilts below 0.1 px are taken for none
    upright, boxes = jt.array(np.float32(upright)), jt.array(np.float32(boxes))
    given = coder.encode(upright, boxes)
    np.testing.assert_allclose(given.numpy()[1:], deltas[1:], atol=2e-4)
    again = coder.decode(upright, jt.array(np.float32(deltas)))
    close(again.numpy(), decoded)
    assert np.isfinite(jt.grad(coder.decode(upright, given).sum(), given).numpy()).all()


def test_card_values():
    anchor, box = np.array([[100, 100, 32, 64, 0.0]]), np.array([[108, 90, 50, 20, 0.7]])
    np.testing.assert_allclose(
        DeltaXYWHAOBBoxCoder("oc").encode(anchor, box)[0],
        [0.25, -0.15625, 0.446287, -1.163151, 0.7],
        atol=1e-6,
    )
    anchor[0, 4], box[0, 4] = 0.3, -1.2
    expected = {
        "le90": ([0.146484, -0.186211, -0.470004, -0.246860, 0.070796], -1.2, True, None),
        "le135": ([0.146484, -0.186211, 0.446287, -1.163151, 0.522535], 1.941593, False, 1),
    }
    for version, (deltas, angle, swap, norm) in expected.items():
        coder = DeltaXYWHAOBBoxCoder(version, edge_swap=swap, proj_xy=True, norm_factor=norm)
        np.testing.assert_allclose(coder.encode(anchor, box)[0], deltas, atol=1e-6)
        np.testing.assert_allclose(
            coder.decode(anchor, np.array([deltas]))[0], [108, 90, 50, 20, angle], atol=1e-4
        )


def test_sizes_and_centres_are_limited():
    coder = DeltaXYWHAOBBoxCoder()
    box = coder.decode(np.array([[10.0, 10, 20, 40, 0]]), np.array([[5.0, -5, 9, -9, 7]]), (60, 80))[0]
    np.testing.assert_allclose(box, [79, 0, 20 * 62.5, 40 / 62.5, 7])


def test_a_single_box_needs_no_axis_of_boxes():
    anchor, box = np.array([100, 100, 32, 64, 0.3]), np.array([108, 90, 50, 20, -1.2])
    coder = DeltaXYWHAOBBoxCoder("le90", edge_swap=True, proj_xy=True)
    np.testing.assert_allclose(coder.decode(anchor, coder.encode(anchor, box)), box)


def test_options_are_checked():
    with pytest.raises(ConfigError, match="le90"):
        build({"type": "DeltaXYWHAOBBoxCoder", "angle_version": "le91"})
    with pytest.raises(ConfigError, match="norm_factor"):
        DeltaXYWHAHBBoxCoder(norm_factor=0)
