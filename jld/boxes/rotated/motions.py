"""Rotated boxes after the image was flipped, turned or resized."""

from __future__ import annotations

import math

import numpy as np

from jld.boxes.rotated.angles import UPRIGHT_TOLERANCE, check_version, regularize_rboxes, wrap_angles
from jld.errors import one_of

DIRECTIONS = ("horizontal", "vertical", "diagonal")


def flip_rboxes(rboxes: np.ndarray, direction: str, image_shape: tuple[int, int], version: str) -> np.ndarray:
    """Rotated boxes of a flipped image.

    Horizontal: cx becomes width - 1 - cx; vertical: cy becomes height - 1 - cy; diagonal: both, a half turn,
    so the angle stays. The "- 1" holds where coordinates count pixel centres, as the annotations of DOTA do.

    Args:
        rboxes: [..., 5] px and radians, in the range of `version`.
        direction: "horizontal", "vertical" or "diagonal".
        image_shape: height, width in px.
        version: see `jld.boxes.rotated.angles`; the result is in its range.
    Returns:
        [..., 5], dtype of the input.
    Raises:
        ConfigError: unknown direction or version.
    Source: MMRotate's training transform.
    """
    _check_direction(direction)
    flipped = np.array(rboxes)
    height, width = image_shape
    if direction in ("horizontal", "diagonal"):
        flipped[..., 0] = width - 1 - flipped[..., 0]
    if direction in ("vertical", "diagonal"):
        flipped[..., 1] = height - 1 - flipped[..., 1]
    if direction == "diagonal":
        return flipped
    if check_version(version) == "oc":
        # At pi/2 the mirrored angle is pi/2 again; everywhere else the edges trade places.
        is_tilted = np.abs(flipped[..., 4] - math.pi / 2) > UPRIGHT_TOLERANCE
        mirrored = flipped[..., [0, 1, 3, 2, 4]]
        mirrored[..., 4] = math.pi / 2 - mirrored[..., 4]
        return np.where(is_tilted[..., None], mirrored, flipped).astype(flipped.dtype, copy=False)
    flipped[..., 4] = wrap_angles(math.pi - flipped[..., 4], version)
    return flipped


def flip_polys(polys: np.ndarray, direction: str, image_shape: tuple[int, int]) -> np.ndarray:
    """Quadrilaterals of a flipped image; the sense of rotation of the corners turns with a single mirror.

    Args:
        polys: [..., 8] px.
        direction: "horizontal", "vertical" or "diagonal".
        image_shape: height, width in px.
    Returns:
        [..., 8], dtype of the input.
    Raises:
        ConfigError: unknown direction.
    """
    _check_direction(direction)
    flipped = np.array(polys)
    height, width = image_shape
    if direction in ("horizontal", "diagonal"):
        flipped[..., 0::2] = width - 1 - flipped[..., 0::2]
    if direction in ("vertical", "diagonal"):
        flipped[..., 1::2] = height - 1 - flipped[..., 1::2]
    return flipped


def rotate_rboxes(
    rboxes: np.ndarray, angle_rad: float, center: tuple[float, float], version: str
) -> np.ndarray:
    """Rotated boxes after turning the image about a point.

    Args:
        rboxes: [..., 5] px and radians.
        angle_rad: positive turns clockwise on the screen.
        center: x, y px of the point that stays.
        version: see `jld.boxes.rotated.angles`; the result is in its range.
    Returns:
        [..., 5], dtype of the input.
    Raises:
        ConfigError: unknown version.
    """
    turned = np.array(rboxes)
    cos, sin = math.cos(angle_rad), math.sin(angle_rad)
    dx, dy = turned[..., 0] - center[0], turned[..., 1] - center[1]
    turned[..., 0], turned[..., 1] = center[0] + cos * dx - sin * dy, center[1] + sin * dx + cos * dy
    turned[..., 4] += angle_rad
    return regularize_rboxes(turned, version)


def scale_rboxes(rboxes: np.ndarray, scale_x: float, scale_y: float) -> np.ndarray:
    """Rotated boxes after resizing the image; both edges take the geometric mean of the scales, angles stay.

    Exact for equal scales. Source: MMRotate's resize.

    Args:
        rboxes: [..., 5] px and radians.
        scale_x: new width / old width; scale_y: likewise for the height.
    Returns:
        [..., 5], dtype of the input.
    """
    mean = math.sqrt(scale_x * scale_y)
    factors = np.array([scale_x, scale_y, mean, mean, 1.0])
    return (rboxes * factors).astype(np.asarray(rboxes).dtype, copy=False)


def _check_direction(direction: str) -> None:
    one_of(direction, DIRECTIONS, f"unknown flip direction {direction!r}")
