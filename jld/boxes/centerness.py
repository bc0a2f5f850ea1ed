"""How central a point lies in a box: the target of the centerness branch of FCOS and ATSS."""

from __future__ import annotations

from jld.boxes.backend import Array, array_module

# Guards the two divisions where a box has no extent; in the unit of the distances.
EPS = 1e-12


def centerness(distances: Array) -> Array:
    """Geometric mean of the two ratios of the nearer to the farther side.

    Args:
        distances: [..., 4] from a point to the left, top, right and bottom side, in any unit.
    Returns:
        [...] 1 in the middle of the box, falling to 0 at its sides, 0 outside.
    Source: arXiv:1904.01355 (FCOS), equation 3.
    """
    xp = array_module(distances)
    left, top, right, bottom = (distances[..., side] for side in range(4))
    horizontal = xp.maximum(xp.minimum(left, right), 0.0) / xp.maximum(xp.maximum(left, right), EPS)
    vertical = xp.maximum(xp.minimum(top, bottom), 0.0) / xp.maximum(xp.maximum(top, bottom), EPS)
    return xp.sqrt(horizontal * vertical)
