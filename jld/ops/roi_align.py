"""Features of boxes, resampled to one size from the pyramid level that suits each box (RoIAlign).

Written with Jittor's own indexing, so gradients and both devices come with it. Source: arXiv:1703.06870,
section 3, with the half-cell shift of detectron2 (`aligned`); the level rule is arXiv:1612.03144, equation 1.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from jld.toolchain import jittor as jt


def pyramid_levels(
    boxes: jt.Var, strides: Sequence[int], canonical_px: float = 224.0, canonical_stride: int = 16
) -> jt.Var:
    """[...] int32 index of the level whose stride suits boxes [..., 4] in px.

    A box of side `canonical_px` reads the level of stride `canonical_stride`, one of twice the side the next.

    Args:
        strides: of the levels, fine to coarse, each twice the one before.
    Source: arXiv:1612.03144, equation 1.
    """
    width, height = boxes[..., 2] - boxes[..., 0], boxes[..., 3] - boxes[..., 1]
    side = jt.sqrt(jt.maximum(width * height, 0.0))
    # Counted instead of rounded: a logarithm in fast arithmetic may miss a power of two.
    starts = canonical_px / canonical_stride * jt.array(np.array(strides[1:], np.float32))
    return (side.unsqueeze(-1) + 1e-6 >= starts).int32().sum(-1)


def roi_align(
    features: Sequence[jt.Var],
    boxes: jt.Var,
    levels: jt.Var,
    strides: Sequence[int],
    *,
    size: int = 7,
    sampling_ratio: int = 2,
) -> jt.Var:
    """Mean of bilinear samples of one pyramid level in every bin of a box.

    Args:
        features: L maps [N, D, H_l, W_l].
        boxes: [N, K, 4] corners in px; no gradient flows into them.
        levels: [N, K] int32 in [0, L), the map that each box reads.
        strides: px per cell of every map.
        size: bins along each side of a box.
        sampling_ratio: samples along each side of a bin.
    Returns:
        [N, K, D, size, size]
    Source: arXiv:1703.06870; samples further than one cell outside the map are 0, as in detectron2.
    """
    n, k = levels.shape
    d = features[0].shape[1]
    sizes = np.array([x.shape[2:] for x in features])  # [L, 2] height, width
    starts = np.concatenate([[0], np.cumsum(sizes.prod(1))[:-1]])
    cells = jt.concat([x.reshape(n, d, -1) for x in features], dim=2)  # [N, D, all cells]
    stride = jt.array(np.array(strides, np.float32))[levels].unsqueeze(2)  # [N, K, 1]
    height, width = (jt.array(sizes[:, axis].astype(np.int32))[levels].unsqueeze(2) for axis in (0, 1))
    rows, row_weights = _taps(boxes[..., 1], boxes[..., 3], stride, height, size, sampling_ratio)
    columns, column_weights = _taps(boxes[..., 0], boxes[..., 2], stride, width, size, sampling_ratio)
    first = jt.array(starts.astype(np.int32))[levels]  # [N, K]
    taps = 2 * sampling_ratio
    values = cells.reindex(
        [n, k, d, size, size, taps, taps],
        ["i0", "i2", "@e0(i0,i1)+@e1(i0,i1,i3,i5)*@e2(i0,i1)+@e3(i0,i1,i4,i6)"],
        extras=[first, rows, width.squeeze(2), columns],
    )
    row_weights = row_weights.unsqueeze(2).unsqueeze(4).unsqueeze(6)  # [N, K, 1, size, 1, taps, 1]
    column_weights = column_weights.unsqueeze(2).unsqueeze(3).unsqueeze(5)  # [N, K, 1, 1, size, 1, taps]
    return (values * row_weights * column_weights).sum([5, 6])


def _taps(
    low: jt.Var, high: jt.Var, stride: jt.Var, length: jt.Var, size: int, ratio: int
) -> tuple[jt.Var, jt.Var]:
    """The cells and weights along one axis that make the samples of every bin.

    Args:
        low, high: [N, K] the box's sides in px.
        stride, length: [N, K, 1] px per cell and cells of the box's map.
    Returns:
        [N, K, size, 2 * ratio] int32 cells in the map and their weights, which add up to at most 1.
    """
    low, high = low.stop_grad().unsqueeze(2) / stride - 0.5, high.stop_grad().unsqueeze(2) / stride - 0.5
    steps = jt.array(((np.arange(size * ratio) + 0.5) / (size * ratio)).astype(np.float32))
    position = low + (high - low) * steps  # [N, K, size * ratio]
    last = length.float32() - 1.0
    inside = (position >= -1.0).float32() * (position <= last + 1.0).float32()
    position = jt.minimum(jt.maximum(position, 0.0), last)
    lower = jt.floor(position)
    share = position - lower
    cells = jt.stack([lower, jt.minimum(lower + 1.0, last)], -1).int32()
    weights = jt.stack([1.0 - share, share], -1) * (inside / ratio).unsqueeze(-1)
    shape = [*low.shape[:2], size, 2 * ratio]
    return cells.reshape(shape), weights.reshape(shape)
