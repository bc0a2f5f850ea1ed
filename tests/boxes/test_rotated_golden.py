"""Conversions, overlaps and suppression of rotated boxes against MMRotate's numbers."""

import numpy as np
import pytest

from jld.boxes.rotated import (
    ANGLE_VERSIONS,
    edges_to_rboxes,
    flip_rboxes,
    is_loadable,
    matched_rbox_iou,
    nms_polys,
    pairwise_rbox_iou,
    polys_to_rboxes,
    rboxes_to_polys,
    rboxes_to_xyxy,
    regularize_rboxes,
    reorder_corners,
    upright_rboxes,
    wrap_angles,
    xyxy_to_rboxes,
)
from tests.golden_cases import case

pytestmark = pytest.mark.golden
BOX_ATOL = 1e-4  # coordinates of the order of 100 in float32
IOU_ATOL = {"edge": 1e-2}  # nearly coincident edges: the reference works in float32
UNDERSTOOD = {
    "norm_angle", "obb2poly", "obb2poly_np", "obb2xyxy", "obb2hbb", "hbb2obb", "poly2obb", "poly2obb_np",
    "quad_poly2obb", "quad_poly2obb_np", "flip_horizontal", "flip_vertical", "flip_diagonal",
}  # fmt: skip


def close(ours, reference, **tolerance):
    np.testing.assert_allclose(ours, reference, **{"rtol": 1e-5, "atol": BOX_ATOL, **tolerance})


def same_rectangles(ours, reference):
    """Equal corners after a common start: squares may be described by either edge."""
    close(reorder_corners(rboxes_to_polys(ours)), reorder_corners(rboxes_to_polys(reference)), atol=5e-4)


@pytest.fixture(scope="module")
def arrays():
    meta, arrays = case("s_transforms")
    assert not meta["generated"]
    outputs = {key.split("/")[2] for key in arrays if key.startswith("out/") and "/best/" not in key}
    assert outputs == UNDERSTOOD
    assert {key.split("/")[1] for key in arrays} <= {*ANGLE_VERSIONS, "angles", "best"}
    return arrays


@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_wrapped_angles_are_the_references(arrays, version):
    close(wrap_angles(arrays["in/angles"], version), arrays[f"out/{version}/norm_angle"], atol=1e-5)


@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_corners_and_upright_boxes_are_the_references(arrays, version):
    rboxes = arrays[f"in/{version}/obb"]
    close(rboxes_to_polys(rboxes), arrays[f"out/{version}/obb2poly"])
    ordered = arrays[f"out/{version}/obb2poly_np"]
    close(reorder_corners(rboxes_to_polys(rboxes)), ordered[:, :8])
    close(rboxes_to_xyxy(rboxes), arrays[f"out/{version}/obb2xyxy"])
    close(upright_rboxes(rboxes, version), arrays[f"out/{version}/obb2hbb"])
    close(xyxy_to_rboxes(arrays[f"in/{version}/hbb"], version), arrays[f"out/{version}/hbb2obb"])


def test_order_of_corners_is_the_references(arrays):
    close(reorder_corners(arrays["in/best/poly"][:, :8]), arrays["out/best/poly"][:, :8])


@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_boxes_of_corners_are_the_references(arrays, version):
    """Rectangles come back from their own corners, hand-drawn quadrilaterals are fitted."""
    corners = arrays[f"out/{version}/obb2poly"]
    close(edges_to_rboxes(corners, version), arrays[f"out/{version}/poly2obb"])
    fitted(polys_to_rboxes(corners, version), arrays[f"out/{version}/poly2obb_np"])
    quads = arrays[f"in/{version}/quad"]
    close(edges_to_rboxes(quads, version), arrays[f"out/{version}/quad_poly2obb"])
    fitted(polys_to_rboxes(quads, version), arrays[f"out/{version}/quad_poly2obb_np"])


def fitted(ours, reference):
    """NaN rows are objects the reference drops."""
    kept = is_loadable(ours)
    np.testing.assert_array_equal(kept, ~np.isnan(reference).any(1))
    close(ours[kept], reference[kept], atol=5e-4)  # the reference's rectangle search is float32


@pytest.mark.parametrize("version", ANGLE_VERSIONS)
def test_flipped_boxes_are_the_references(arrays, version):
    """Same rectangles for all versions; the same numbers for oc, whose rule the reference applies to every
    version.

    Its diagonal flip mirrors the angle as well, although a half turn keeps it (the training transform does
    keep it): what it returns is our horizontal flip with the other coordinate mirrored.
    """
    rboxes = arrays[f"in/{version}/obb"]
    mirrored = {name: arrays[f"out/{version}/flip_{name}"] for name in ("horizontal", "vertical", "diagonal")}
    width = round(float((rboxes + mirrored["horizontal"])[:, 0].mean())) + 1
    height = round(float((rboxes + mirrored["vertical"])[:, 1].mean())) + 1
    for direction in ("horizontal", "vertical"):
        ours = flip_rboxes(rboxes, direction, (height, width), version)
        same_rectangles(ours, mirrored[direction])
        if version == "oc":
            close(ours, mirrored[direction])
    ours = flip_rboxes(rboxes, "diagonal", (height, width), version)
    close(ours[:, :2], mirrored["diagonal"][:, :2])
    np.testing.assert_array_equal(ours[:, 2:], rboxes[:, 2:])
    angle_mirrored = flip_rboxes(rboxes, "horizontal", (height, width), version)
    angle_mirrored[:, 1] = height - 1 - angle_mirrored[:, 1]
    same_rectangles(angle_mirrored, mirrored["diagonal"])


def same_overlaps(ours, reference, atol):
    """Except where the reference loses the corners of coinciding boxes, a known weakness of its float32
    search.
    """
    differs = np.abs(ours - reference) > atol
    assert (ours[differs] > 0.999).all() and differs.sum() <= 2
    close(ours[~differs], reference[~differs], atol=atol)


def test_overlaps_are_the_references():
    _, arrays = case("s_box_iou_rotated")
    sets = sorted({key.split("/")[1] for key in arrays if key.startswith("in/")})
    assert sets and {key.split("/")[2] for key in arrays if key.startswith("out/")} == {
        f"{mode}{suffix}" for mode in ("iou", "iof") for suffix in ("", "_aligned", "_ccw")
    }
    for name in sets:
        first, second = arrays[f"in/{name}/a"], arrays[f"in/{name}/b"]
        atol = IOU_ATOL.get(name, 1e-4)
        counter_clockwise = [boxes * [1, 1, 1, 1, -1] for boxes in (first, second)]
        for mode in ("iou", "iof"):
            same_overlaps(pairwise_rbox_iou(first, second, mode), arrays[f"out/{name}/{mode}"], atol)
            same_overlaps(pairwise_rbox_iou(*counter_clockwise, mode), arrays[f"out/{name}/{mode}_ccw"], atol)
            aligned = matched_rbox_iou(first, second[: len(first)], mode)
            same_overlaps(aligned, arrays[f"out/{name}/{mode}_aligned"], atol)


def test_suppression_keeps_what_the_reference_keeps():
    """`nms_labels` is the reference's CPU operator, which takes labels and does not look at them."""
    _, arrays = case("s_nms_rotated")
    for version in sorted({key.split("/")[1] for key in arrays if key.startswith("in/")}):
        rboxes, scores = arrays[f"in/{version}/boxes"], arrays[f"in/{version}/scores"][:, 0]
        names = sorted({key.split("/")[2] for key in arrays if key.startswith(f"out/{version}/nms")})
        assert {"nms_ccw", "nms_labels"} < set(names)
        for name in names:
            threshold = float(name[3:]) if name[3].isdigit() else 0.3
            sign = -1 if name == "nms_ccw" else 1
            kept = nms_polys(rboxes_to_polys(rboxes * [1, 1, 1, 1, sign]), scores, threshold)
            np.testing.assert_array_equal(np.sort(kept), np.sort(arrays[f"out/{version}/{name}/keep"]))
            close(scores[kept], arrays[f"out/{version}/{name}/dets"][:, 5], atol=0)


def test_regularized_boxes_are_the_same_rectangles(arrays):
    for version in ANGLE_VERSIONS:
        rboxes = arrays["in/le135/obb"]
        same_rectangles(regularize_rboxes(rboxes, version), rboxes)
