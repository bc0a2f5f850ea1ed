"""Anchors against the golden numbers; order, masks and caching of priors."""

import numpy as np
import pytest

from jld.boxes.places import Places, on_grid
from jld.boxes.priors import AnchorGenerator
from jld.errors import ConfigError
from jld.toolchain import jittor as jt
from tests.golden_cases import case, fill


def level_sizes(anchors, counts):
    """(height, width) of every level, read off the distinct anchor corners of one-anchor-per-cell priors."""
    parts = np.split(anchors, np.cumsum(counts)[:-1])
    return [(len(np.unique(part[:, 1])), len(np.unique(part[:, 0]))) for part in parts]


def test_anchors_equal_golden():
    meta, arrays = case("h_assigners")
    counts = arrays["in/num_level_anchors"]
    expected = arrays["out/anchors"]
    sizes = level_sizes(expected, counts)
    # One square anchor of side 8 strides per cell.
    strides = [int((part[0, 2] - part[0, 0]) / 8) for part in np.split(expected, np.cumsum(counts)[:-1])]
    priors = AnchorGenerator(strides).priors(sizes)
    np.testing.assert_array_equal(priors.boxes.numpy()[0], expected)
    assert [s.stop - s.start for s in priors.level_slices] == counts.tolist()

    nine = AnchorGenerator(strides, octave_base_scale=4, scales_per_octave=3, ratios=(0.5, 1.0, 2.0))
    for stride, base in zip(strides, arrays["out/base_anchors9"], strict=True):
        np.testing.assert_allclose(nine.base_anchors(stride), base, rtol=1e-5, atol=1e-5)
    boxes = nine.priors(sizes).boxes.numpy()[0]
    sampled = meta["sampled"]["out/anchors9"]
    assert list(boxes.shape) == sampled["shape"]
    index = fill.sample_index(boxes.size, sampled["k"])
    np.testing.assert_allclose(boxes.ravel()[index], arrays["out/anchors9/sample"], rtol=1e-5, atol=1e-4)
    assert np.linalg.norm(boxes.astype(np.float64)) == pytest.approx(
        float(arrays["out/anchors9/norm"]), rel=1e-6
    )


def test_order_centers_and_strides():
    generator = AnchorGenerator((8, 16), octave_base_scale=2, ratios=(1.0, 4.0), center_offset=0.5)
    priors = generator.priors([(2, 3), (1, 2)])
    assert len(priors) == 16 and priors.num_per_cell == 2
    centers = priors.centers.numpy()[0]
    np.testing.assert_allclose(centers[:8:2], [[4, 4], [12, 4], [20, 4], [4, 12]])
    np.testing.assert_allclose(centers[12:], [[8, 8], [8, 8], [24, 8], [24, 8]])
    np.testing.assert_allclose(priors.boxes.numpy()[0, 1], [4 - 4, 4 - 16, 4 + 4, 4 + 16])
    np.testing.assert_allclose(priors.strides.numpy(), [[8] * 12 + [16] * 4])
    np.testing.assert_array_equal(priors.levels.numpy(), [[0] * 12 + [1] * 4])
    assert priors.num_levels == 2 and priors.boxes.shape == [1, 16, 4]


def test_anchors_of_torchvision_are_whole_and_as_far_apart_as_cells_fit():
    """Its corners for sides of 32 px (`anchor_utils.py`), and 13 cells of 416 px beside 17 of 544 px."""
    generator = AnchorGenerator((4, 8, 16, 32, 64), ratios=(0.5, 1.0, 2.0), grid="torchvision")
    np.testing.assert_array_equal(
        generator.base_anchors(4), [[-23, -11, 23, 11], [-16, -16, 16, 16], [-11, -23, 11, 23]]
    )
    sizes = [(200, 128), (100, 64), (50, 32), (25, 16), (13, 8)]  # 800 x 512 px, whose 25 cells halve to 13
    priors = generator.priors(sizes)
    coarsest = priors.centers.numpy()[0, priors.level_slices[-1]].reshape(13, 8, 3, 2)
    np.testing.assert_array_equal(coarsest[:, 0, 1, 1], np.arange(13) * 61)
    np.testing.assert_array_equal(coarsest[0, :, 1, 0], np.arange(8) * 64)
    with pytest.raises(ConfigError, match="grid 'torch'"):
        AnchorGenerator((4,), grid="torch")


def test_cells_in_either_order():
    options = {"octave_base_scale": 4, "scales_per_octave": 3, "ratios": (0.5, 1.0, 2.0)}
    by_ratio = AnchorGenerator((8,), **options).base_anchors(8)
    by_scale = AnchorGenerator((8,), **options, cell_order="scale_major").base_anchors(8)
    np.testing.assert_array_equal(by_scale.reshape(3, 3, 4), by_ratio.reshape(3, 3, 4).transpose(1, 0, 2))


def test_same_sizes_share_one_object():
    generator = AnchorGenerator((8,))
    assert generator.priors([(2, 3)]) is generator.priors([[2, 3]])
    assert generator.priors([(2, 3)]) is not generator.priors([(3, 2)])


def test_valid_mask_marks_the_cells_of_each_image():
    priors = AnchorGenerator((8, 16), ratios=(1.0, 2.0)).priors([(3, 4), (2, 2)])
    mask = priors.valid_mask(np.array([[24, 32], [9, 16]])).numpy()
    assert mask[0].all()
    fine = mask[1, priors.level_slices[0]].reshape(3, 4, 2)
    coarse = mask[1, priors.level_slices[1]].reshape(2, 2, 2)
    assert fine[:2, :2].all() and fine.sum() == 2 * 2 * 2
    assert coarse[0, 0].all() and coarse.sum() == 2


def test_valid_mask_equals_golden():
    _, arrays = case("h_gfl_full")
    anchors = arrays["out/tgt/anchors"]
    sides = (anchors[:, 2] - anchors[:, 0]).astype(int)  # 8 strides of its level
    strides, counts = np.unique(sides, return_counts=True)
    priors = AnchorGenerator((strides // 8).tolist()).priors(level_sizes(anchors, counts))
    pads = np.stack([arrays[f"in/pad_shape/{i}"][:2] for i in range(len(arrays["out/tgt/valid"]))])
    np.testing.assert_array_equal(priors.valid_mask(pads).numpy() > 0, arrays["out/tgt/valid"])


def test_errors_name_the_cure():
    with pytest.raises(ConfigError, match="at least one stride"):
        AnchorGenerator(())
    with pytest.raises(ConfigError, match="2 feature levels but 1 strides"):
        AnchorGenerator((8,)).priors([(1, 1), (1, 1)])


def test_rois_are_no_grid():
    grid = AnchorGenerator([8]).priors([(2, 3)])
    assert on_grid(grid) is grid
    rois = Places(
        boxes=jt.zeros((2, 3, 4)),
        centers=jt.zeros((2, 3, 2)),
        strides=jt.ones((2, 3)),
        levels=jt.zeros((2, 3), "int32"),
        level_strides=(8,),
        mask=jt.ones((2, 3)),
    )
    with pytest.raises(ConfigError, match="RoIs lie in no cell"):
        on_grid(rois)
