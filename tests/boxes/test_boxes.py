"""Overlaps, distances and the delta coder against the golden numbers, on NumPy arrays and on Jittor Vars."""

import numpy as np
import pytest

from jld.boxes.coders import DeltaBoxCoder
from jld.boxes.distances import bbox2distance, distance2bbox
from jld.boxes.formats import box_areas, clip_boxes, cxcywh_to_xyxy, xyxy_to_cxcywh
from jld.boxes.overlaps import aligned_overlaps, pairwise_overlaps
from jld.toolchain import jittor as jt
from tests.golden_cases import case, fill

# The reference calls IoF minus the centre term "diou".
MODES = {"iou": "iou", "iof": "iof", "giou": "giou", "diou": "iof_diou"}
BACKENDS = {"numpy": lambda a: a, "jittor": jt.array}


@pytest.fixture(params=list(BACKENDS))
def convert(request):
    return BACKENDS[request.param]


def as_numpy(array):
    return array if isinstance(array, np.ndarray) else array.numpy()


def assert_boxes_close(actual, expected):
    # Pixel coordinates of the order of 100: float32 leaves 1e-4.
    np.testing.assert_allclose(as_numpy(actual), expected, rtol=1e-5, atol=1e-4)


def test_overlaps_equal_golden(convert):
    _, arrays = case("h_boxes")
    names = {key.split("/")[2] for key in arrays if key.startswith("out/overlaps")}
    assert names <= set(MODES), names
    first, second = arrays["in/a"], arrays["in/b"]
    for name in sorted(names):
        pairs = pairwise_overlaps(convert(first), convert(second), MODES[name])
        np.testing.assert_allclose(as_numpy(pairs), arrays[f"out/overlaps/{name}"], rtol=1e-5, atol=1e-6)
        aligned = aligned_overlaps(convert(first[: len(second)]), convert(second), MODES[name])
        np.testing.assert_allclose(
            as_numpy(aligned), arrays[f"out/overlaps_aligned/{name}"], rtol=1e-5, atol=1e-6
        )


def test_diou_uses_the_union(convert):
    # Intersection 3 x 2, union 16 + 15 - 6, centres 1.5 apart in both directions, enclosing box 6 x 5.
    first, second = np.float32([[0, 0, 4, 4]]), np.float32([[1, 2, 6, 5]])
    value = as_numpy(aligned_overlaps(convert(first), convert(second), "diou"))
    np.testing.assert_allclose(value, [6 / 25 - (1.5**2 + 1.5**2) / 61], rtol=1e-5)


def test_batched_pairwise_overlaps_equal_single():
    rng = np.random.default_rng(0)
    first = np.sort(rng.random((2, 3, 4), dtype=np.float32), axis=-1)
    second = np.sort(rng.random((2, 5, 4), dtype=np.float32), axis=-1)
    batched = pairwise_overlaps(first, second, "giou")
    assert batched.shape == (2, 3, 5)
    np.testing.assert_allclose(batched[1], pairwise_overlaps(first[1], second[1], "giou"))


def test_unknown_mode_is_named():
    with pytest.raises(ValueError, match="ciou"):
        pairwise_overlaps(np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32), "ciou")


def test_distances_equal_golden(convert):
    meta, arrays = case("h_boxes")
    points, distances = (fill.generate(meta["generated"][name]) for name in ("points", "distance"))
    free = arrays["out/distance2bbox"]
    assert_boxes_close(distance2bbox(convert(points), convert(distances)), free)
    clipped = arrays["out/distance2bbox_clip"]
    shape = (clipped[:, 3].max(), clipped[:, 2].max())
    assert (free[:, 3].max(), free[:, 2].max()) > shape, "the case is meant to clip"
    assert_boxes_close(distance2bbox(convert(points), convert(distances), shape), clipped)
    # The boxes that were measured are the points moved by the distances the case holds.
    expected = arrays["out/bbox2distance"]
    boxes = distance2bbox(points, expected)
    assert_boxes_close(bbox2distance(convert(points), convert(boxes)), expected)
    for name in ("out/bbox2distance_max", "out/bbox2distance_max_eps"):
        limit = float(arrays[name].max())
        assert_boxes_close(bbox2distance(convert(points), convert(boxes), limit + 0.5, 0.5), arrays[name])


@pytest.mark.parametrize("name, stds", [("delta", (1, 1, 1, 1)), ("delta_std", (0.1, 0.1, 0.2, 0.2))])
def test_delta_coder_equals_golden(convert, name, stds):
    meta, arrays = case("h_boxes")
    coder = DeltaBoxCoder(stds=stds)
    # The case encodes the boxes one pixel wider and higher, which gives empty ones a size.
    anchors, boxes = arrays["in/a"], arrays["in/b"] + np.float32([0, 0, 1, 1])
    encoded = coder.encode(convert(anchors[: len(boxes)]), convert(boxes))
    np.testing.assert_allclose(as_numpy(encoded), arrays[f"out/{name}/encode"], rtol=1e-5, atol=1e-5)
    deltas = fill.generate(meta["generated"][f"{name}/deltas"])
    assert_boxes_close(coder.decode(convert(anchors), convert(deltas)), arrays[f"out/{name}/decode"])
    clipped = arrays[f"out/{name}/decode_clip"]
    shape = (clipped[:, 1::2].max(), clipped[:, ::2].max())
    assert_boxes_close(coder.decode(convert(anchors), convert(deltas), shape), clipped)


def test_delta_decoding_inverts_encoding_and_limits_sizes():
    rng = np.random.default_rng(1)
    anchors, boxes = (cxcywh_to_xyxy(rng.uniform(10, 60, (20, 4)).astype(np.float32)) for _ in range(2))
    coder = DeltaBoxCoder(means=(0.1, 0, 0, -0.2), stds=(0.1, 0.1, 0.2, 0.2))
    assert_boxes_close(coder.decode(anchors, coder.encode(anchors, boxes)), boxes)
    huge = DeltaBoxCoder().decode(np.float32([[0, 0, 10, 10]]), np.float32([[0, 0, 50, -50]]))
    assert_boxes_close(xyxy_to_cxcywh(huge), [[5, 5, 625, 0.16]])
    assert_boxes_close(DeltaBoxCoder(clip_border=False).decode(anchors, 0 * anchors, (1, 1)), anchors)
    small = DeltaBoxCoder(clip_shrinking=False).decode(
        np.float32([[0, 0, 10, 10]]), np.float32([[0, 0, 50, -5]])
    )
    np.testing.assert_allclose(xyxy_to_cxcywh(small), [[5, 5, 625, 10 * np.exp(-5)]], rtol=1e-4)


def test_formats(convert):
    boxes = np.float32([[2, 4, 8, 14], [-3, 1, 5, 90]])
    assert_boxes_close(xyxy_to_cxcywh(convert(boxes)), [[5, 9, 6, 10], [1, 45.5, 8, 89]])
    assert_boxes_close(cxcywh_to_xyxy(xyxy_to_cxcywh(convert(boxes))), boxes)
    assert_boxes_close(box_areas(convert(boxes)), [60, 712])
    assert_boxes_close(clip_boxes(convert(boxes), (50, 7)), [[2, 4, 7, 14], [0, 1, 5, 50]])
