"""Upright boxes around rotated ones, and rotated boxes that happen to be upright."""

from __future__ import annotations

import math

import numpy as np

from jld.boxes.rotated.angles import check_version

HALF_TURN = math.pi / 2


def rboxes_to_xyxy(rboxes: np.ndarray) -> np.ndarray:
    """Corners of the upright boxes around rotated boxes.

    Args:
        rboxes: [..., 5] px and radians, any angle.
    Returns:
        [..., 4] float64 x1, y1, x2, y2 px.
    """
    rboxes = np.asarray(rboxes, np.float64)
    center, size = rboxes[..., :2], rboxes[..., 2:4]
    cos, sin = np.abs(np.cos(rboxes[..., 4])), np.abs(np.sin(rboxes[..., 4]))
    half_width = (size[..., 0] * cos + size[..., 1] * sin) / 2
    half_height = (size[..., 0] * sin + size[..., 1] * cos) / 2
    half = np.stack([half_width, half_height], -1)
    return np.concatenate([center - half, center + half], -1)


def polys_to_xyxy(polys: np.ndarray) -> np.ndarray:
    """[..., 4] float64 x1, y1, x2, y2 around quadrilaterals [..., 8]."""
    polys = np.asarray(polys, np.float64)
    x, y = polys[..., 0::2], polys[..., 1::2]
    return np.stack([x.min(-1), y.min(-1), x.max(-1), y.max(-1)], -1)


def xyxy_to_rboxes(boxes: np.ndarray, version: str) -> np.ndarray:
    """Upright boxes as rotated boxes of a version.

    oc: angle pi/2, so width and height trade places. le90, le135: angle 0, or for tall boxes -pi/2 and pi/2,
    so that the width is the longer edge.

    Args:
        boxes: [..., 4] x1, y1, x2, y2 px.
        version: see `jld.boxes.rotated.angles`.
    Returns:
        [..., 5] float64 px and radians.
    Raises:
        ConfigError: unknown version.
    """
    boxes = np.asarray(boxes, np.float64)
    center, size = (boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]
    width, height = size[..., 0], size[..., 1]
    if check_version(version) == "oc":
        return np.concatenate([center, np.stack([height, width, np.full_like(width, HALF_TURN)], -1)], -1)
    is_tall = width < height
    turned = -HALF_TURN if version == "le90" else HALF_TURN
    columns = [np.maximum(width, height), np.minimum(width, height), np.where(is_tall, turned, 0.0)]
    return np.concatenate([center, np.stack(columns, -1)], -1)


def upright_rboxes(rboxes: np.ndarray, version: str) -> np.ndarray:
    """The upright boxes around rotated boxes, as rotated boxes of a version (anchor assignment of "HBB"
    configs).

    Args:
        rboxes: [..., 5] px and radians.
        version: see `jld.boxes.rotated.angles`.
    Returns:
        [..., 5] float64 px and radians.
    Raises:
        ConfigError: unknown version.
    """
    return xyxy_to_rboxes(rboxes_to_xyxy(rboxes), version)
