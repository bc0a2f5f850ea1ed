"""How much two upright boxes overlap: IoU and its relatives, aligned and pairwise.

One arithmetic for NumPy and Jittor. The modes are

- `iou`: intersection / union.
- `iof`: intersection / area of the first box.
- `giou`: IoU minus the empty share of the smallest enclosing box.
- `diou`: IoU minus (centre distance / diagonal of the enclosing box) squared.
- `iof_diou`: the same with IoF in place of IoU. This is what the released localization distillation code
  computes under the name DIoU for its valuable region.
"""

from __future__ import annotations

from jld.boxes.backend import Array, array_module
from jld.boxes.formats import split_corners

MODES = ("iou", "iof", "giou", "diou", "iof_diou")


def aligned_overlaps(first: Array, second: Array, mode: str = "iou", eps: float = 1e-6) -> Array:
    """Overlap of boxes that broadcast against each other.

    Args:
        first: [..., 4] corners in px.
        second: [..., 4] corners, of a shape that broadcasts with `first`.
        mode: one of `MODES`.
        eps: floor of every divisor (areas in px squared).
    Returns:
        [...] at most 1; negative values occur for giou, diou and iof_diou.
    Raises:
        ValueError: unknown mode.
    """
    return _overlaps(split_corners(first), split_corners(second), mode, eps)


def pairwise_overlaps(first: Array, second: Array, mode: str = "iou", eps: float = 1e-6) -> Array:
    """Overlap of every box of one set with every box of another.

    Args:
        first: [..., A, 4] corners in px.
        second: [..., B, 4] corners; leading axes broadcast with those of `first`.
        mode: one of `MODES`.
        eps: floor of every divisor.
    Returns:
        [..., A, B]
    Raises:
        ValueError: unknown mode.
    """
    rows = tuple(coordinate[..., :, None] for coordinate in split_corners(first))
    columns = tuple(coordinate[..., None, :] for coordinate in split_corners(second))
    return _overlaps(rows, columns, mode, eps)


def _overlaps(first: tuple[Array, ...], second: tuple[Array, ...], mode: str, eps: float) -> Array:
    if mode not in MODES:
        raise ValueError(f"unknown overlap mode {mode!r}, known are {', '.join(MODES)}.")
    xp = array_module(first[0])
    ax1, ay1, ax2, ay2 = first
    bx1, by1, bx2, by2 = second
    width = xp.maximum(xp.minimum(ax2, bx2) - xp.maximum(ax1, bx1), 0.0)
    height = xp.maximum(xp.minimum(ay2, by2) - xp.maximum(ay1, by1), 0.0)
    intersection = width * height
    first_area = (ax2 - ax1) * (ay2 - ay1)
    if mode in ("iof", "iof_diou"):
        base = xp.maximum(first_area, eps)
    else:
        base = xp.maximum(first_area + (bx2 - bx1) * (by2 - by1) - intersection, eps)
    ratio = intersection / base
    if mode in ("iou", "iof"):
        return ratio
    outer_width = xp.maximum(ax2, bx2) - xp.minimum(ax1, bx1)
    outer_height = xp.maximum(ay2, by2) - xp.minimum(ay1, by1)
    if mode == "giou":
        outer = xp.maximum(outer_width * outer_height, eps)
        return ratio - (outer - base) / outer
    diagonal = xp.maximum(outer_width * outer_width + outer_height * outer_height, eps)
    dx = (bx1 + bx2 - ax1 - ax2) * 0.5
    dy = (by1 + by2 - ay1 - ay2) * 0.5
    return ratio - (dx * dx + dy * dy) / diagonal
