"""The nearest priors of every level against a full sort in double precision."""

import numpy as np
import pytest

from jld.ops.nearest_priors import nearest_priors
from jld.toolchain import jittor as jt

STRIDES, SIZES = (8, 16, 64), ((12, 15), (6, 8), (2, 2))  # height, width in cells
PADS = np.array([(96, 120), (40, 120), (96, 16)])  # height, width in px


def scene(per_cell):
    """(centres [P, 2], grid [N, L, 5], level [P], valid [N, P])"""
    centers, levels, valid, grid = [], [], [], []
    for level, ((height, width), stride) in enumerate(zip(SIZES, STRIDES, strict=True)):
        rows, columns = np.mgrid[:height, :width].reshape(2, -1)
        cells = np.minimum(np.ceil(PADS / stride), (height, width)).astype(int)
        inside = (rows < cells[:, :1]) & (columns < cells[:, 1:])  # [N, H * W]
        row = [[sum(map(len, levels)), width, right, bottom, stride] for bottom, right in cells]
        grid.append(row)
        centers.append(np.repeat(np.stack([columns, rows], 1) * stride, per_cell, axis=0))
        levels.append(np.full(len(centers[-1]), level))
        valid.append(np.repeat(inside, per_cell, axis=1))
    grid = np.int32(grid).transpose(1, 0, 2)
    return np.float32(np.concatenate(centers)), grid, np.concatenate(levels), np.concatenate(valid, 1)


def expected(points, centers, levels, valid, topk, late):
    """Prior numbers of one box, level after level; -1 where a level has too few."""
    distance = np.where(late > 0, np.inf, ((centers.astype(np.float64) - points) ** 2).sum(1))
    found = []
    for level in range(len(SIZES)):
        places = np.flatnonzero((levels == level) & valid)
        order = places[np.argsort(distance[places], kind="stable")][:topk]
        found += [*order, *[-1] * (topk - len(order))]
    return found


@pytest.mark.parametrize(("topk", "per_cell"), [(9, 1), (4, 1), (13, 3), (50, 3)])
@pytest.mark.parametrize("has_late", [False, True])
def test_they_are_those_of_a_full_sort(topk, per_cell, has_late):
    rng = np.random.default_rng(topk)
    centers, grid, levels, valid = scene(per_cell)
    # Centres between cells make ties; some boxes lie outside.
    corner = rng.integers(-12, 36, (3, 20, 2)) * 4
    boxes = np.float32(np.concatenate([corner, corner + rng.integers(0, 9, (3, 20, 2)) * 8], -1))
    mask = np.float32(rng.uniform(size=(3, 20)) < 0.8)
    late = (rng.uniform(size=valid.shape) < (0.6 if has_late else 0)).astype(np.float32)
    index, found = nearest_priors(
        jt.array(centers[None]), jt.array(boxes), jt.array(mask), jt.array(grid),
        topk=topk, num_per_cell=per_cell, late=jt.array(late) if has_late else None,
    )  # fmt: skip
    got = np.where(found.numpy() > 0, index.numpy(), -1)
    assert (index.numpy()[found.numpy() == 0] == 0).all()
    for image, slot in np.ndindex(mask.shape):
        center = (boxes[image, slot, :2] + boxes[image, slot, 2:]) / 2
        row = expected(center, centers, levels, valid[image], topk, late[image])
        np.testing.assert_array_equal(got[image, slot], row if mask[image, slot] else -1)


def test_rotated_boxes_begin_with_their_centre():
    centers, grid, _, _ = scene(1)
    rng = np.random.default_rng(1)
    boxes = rng.uniform(0, 100, (3, 4, 5)).astype(np.float32)
    corners = np.concatenate([boxes[..., :2], boxes[..., :2]], -1)
    results = [
        nearest_priors(
            jt.array(centers[None]), jt.array(b), jt.ones((3, 4)), jt.array(grid), topk=9, num_per_cell=1
        )[0].numpy()
        for b in (boxes, corners)
    ]
    np.testing.assert_array_equal(*results)
