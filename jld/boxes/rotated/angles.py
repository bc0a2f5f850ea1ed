"""The three angle versions of rotated boxes, and how a box is brought into the range of one.

A rotated box ("rbox") is centre x, centre y, width, height, angle: pixels and radians, x to the right, y
down, so that a positive angle turns **clockwise on the screen**; `width` is the edge that makes `angle` with
the x axis. The same rectangle has many such descriptions; a version picks one:

| version | angle           | edges           |
|---------|-----------------|-----------------|
| oc      | (0, pi/2]       | any             |
| le90    | [-pi/2, pi/2)   | width >= height |
| le135   | [-pi/4, 3 pi/4) | width >= height |

Source: MMRotate's `oc`, `le90`, `le135` (arXiv:2204.13317); JDet stores le135.
"""

from __future__ import annotations

import math

import numpy as np

from jld.boxes.backend import Array, array_module
from jld.errors import one_of

RANGE_START = {"le90": -math.pi / 2, "le135": -math.pi / 4}
ANGLE_VERSIONS = ("oc", *RANGE_START)
# An angle this near to pi/2 (radians) belongs to an upright box; float32 rounding is 4e-8 there.
UPRIGHT_TOLERANCE = 1e-6


def check_version(version: str) -> str:
    """The version, if it is one.

    Raises:
        ConfigError: unknown version.
    """
    return one_of(version, ANGLE_VERSIONS, f"unknown angle version {version!r}")


def wrap_angles(angles: Array, version: str) -> Array:
    """Angles modulo pi in the range of a version; edges are not swapped, so `oc` returns its input.

    This is the wrap inside box coders. Angles already in the range are returned bit for bit.

    Args:
        angles: [...] radians, a NumPy array or a Jittor Var.
        version: see the module.
    Returns:
        [...] radians.
    Raises:
        ConfigError: unknown version.
    """
    if check_version(version) == "oc":
        return angles
    values = np.asarray(angles) if isinstance(angles, float | int | np.generic) else angles
    xp, start = array_module(values), RANGE_START[version]
    shifted = values - start
    wrapped = shifted - xp.floor(shifted / math.pi) * math.pi + start
    # Rounding can lift a value just below the range to its open upper end.
    wrapped = xp.where(wrapped < start + math.pi, wrapped, xp.zeros_like(wrapped) + start)
    return xp.where((values >= start) & (values < start + math.pi), values, wrapped)


def regularize_rboxes(rboxes: np.ndarray, version: str) -> np.ndarray:
    """The same rectangles, described as a version asks for: angle in its range, edges in its order.

    Boxes that already are, are returned bit for bit; squares keep their angle as far as the range allows.

    Args:
        rboxes: [..., 5] px and radians, any angle.
        version: see the module.
    Returns:
        [..., 5], dtype of the input.
    Raises:
        ConfigError: unknown version.
    """
    rboxes = np.asarray(rboxes)
    rboxes = rboxes if np.issubdtype(rboxes.dtype, np.floating) else rboxes.astype(np.float64)
    cx, cy, width, height, angles = np.moveaxis(rboxes, -1, 0)
    if check_version(version) == "oc":
        # Whole quarter turns to take away so that the rest lies in (0, pi/2].
        turns = np.ceil(angles / (math.pi / 2)) - 1
        is_swapped = turns % 2 != 0
        angles = np.where(turns == 0, angles, angles - turns * (math.pi / 2))
        # Rounding can push the difference just over an end of the range.
        angles = np.clip(angles, np.finfo(angles.dtype).tiny, np.asarray(math.pi / 2, angles.dtype))
    else:
        is_swapped = width < height
        angles = wrap_angles(np.where(is_swapped, angles + math.pi / 2, angles), version)
    edges = np.where(is_swapped, height, width), np.where(is_swapped, width, height)
    return np.stack([cx, cy, *edges, angles], -1).astype(rboxes.dtype, copy=False)
