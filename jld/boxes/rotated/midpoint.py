"""Rotated boxes as an upright box and two points on its edges, on NumPy arrays and Jittor Vars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import ModuleType

from jld.boxes.backend import Array, array_module
from jld.boxes.formats import xyxy_to_cxcywh
from jld.boxes.rotated.angles import check_version, wrap_angles
from jld.registry import CODERS

QUARTER_TURN = math.pi / 2
# Corners at most this far (px) below the top edge lie on it; the right one of them counts.
EDGE_TOLERANCE_PX = 0.1


@CODERS.register
class MidpointOffsetCoder:
    """Rotated boxes relative to upright anchors: the box around them, and where they touch its top and right.

    The deltas are dx, dy, dw, dh of the upright box around the object, then a and b: how far the corner on
    its top edge lies right of the centre, as a share of the width, and the one on its right edge below the
    centre, as a share of the height. Any a and b make a parallelogram; decoding stretches the shorter
    diagonal, so that it becomes a rectangle.

    Args:
        angle_version: of decoded boxes, `oc`, `le90` or `le135`; with `oc` angles lie in [0, pi/2).
        means: subtracted from the raw deltas dx, dy, dw, dh, a, b.
        stds: the raw deltas are divided by them.
        size_ratio_clip: decoded upright sizes stay within [this, 1 / this] times the anchor's size.
    Raises:
        ConfigError: unknown angle version.
    Source: arXiv:2108.05699, section 3.1; mmRotate's coder of that name. Published: stds of 0.5 for a and b.
    Differs: b is that of the corner after the one on the top edge. Where the released code looks for the
        right edge by itself, a long box with a slight tilt may end with two opposite corners and without
        area.
    """

    num_values = 6

    def __init__(
        self,
        angle_version: str = "oc",
        *,
        means: Sequence[float] = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
        size_ratio_clip: float = 16 / 1000,
    ):
        self.angle_version = check_version(angle_version)
        self.means, self.stds = tuple(means), tuple(stds)
        self.max_log_ratio = abs(math.log(size_ratio_clip))

    def encode(self, anchors: Array, boxes: Array) -> Array:
        """Deltas [..., 6] that turn anchors [..., 4] (corners) into boxes [..., 5]; px and radians."""
        xp = array_module(boxes)
        anchor = xyxy_to_cxcywh(anchors)
        width, height, angle = boxes[..., 2], boxes[..., 3], boxes[..., 4]
        cos, sin = xp.cos(angle) / 2, xp.sin(angle) / 2
        # Bottom right, top right, top left, bottom left of a box with the angle 0, seen from the centre.
        right = cos * width - sin * height, cos * width + sin * height
        down = sin * width + cos * height, sin * width - cos * height
        columns = xp.stack([right[0], right[1], -right[0], -right[1]], -1)  # [..., 4]
        rows = xp.stack([down[0], down[1], -down[0], -down[1]], -1)
        following = xp.stack([-down[1], down[0], down[1], -down[0]], -1)  # clockwise: top, then right
        half_w, half_h = columns.max(-1), rows.max(-1)
        lies_low = rows > EDGE_TOLERANCE_PX - half_h[..., None]
        candidates = xp.where(lies_low, xp.full_like(columns, -math.inf), columns)
        at_top = candidates.max(-1)
        is_other = candidates < at_top[..., None]
        at_right = xp.where(is_other, xp.full_like(rows, -math.inf), following).max(-1)
        raw = (
            (boxes[..., 0] - anchor[..., 0]) / anchor[..., 2],
            (boxes[..., 1] - anchor[..., 1]) / anchor[..., 3],
            xp.log(2 * half_w / anchor[..., 2]),
            xp.log(2 * half_h / anchor[..., 3]),
            at_top / (2 * half_w),
            at_right / (2 * half_h),
        )
        return xp.stack([(v - m) / s for v, m, s in zip(raw, self.means, self.stds, strict=True)], -1)

    def decode(self, anchors: Array, deltas: Array) -> Array:
        """Rotated boxes [..., 5] from anchors [..., 4] (corners) and deltas [..., 6]; px and radians."""
        xp, limit = array_module(deltas), self.max_log_ratio
        anchor = xyxy_to_cxcywh(anchors)
        raw = [deltas[..., i] * s + m for i, (m, s) in enumerate(zip(self.means, self.stds, strict=True))]
        width, height = (
            anchor[..., 2 + i] * xp.exp(xp.minimum(xp.maximum(raw[2 + i], -limit), limit)) for i in range(2)
        )
        x, y = anchor[..., 0] + anchor[..., 2] * raw[0], anchor[..., 1] + anchor[..., 3] * raw[1]
        share_top, share_right = (xp.minimum(xp.maximum(share, -0.5), 0.5) for share in raw[4:])
        top = (share_top * width, -0.5 * height)
        side = (0.5 * width, share_right * height)
        top, side = _same_length(xp, top, side)
        first = (side[0] - top[0], side[1] - top[1])
        second = (-top[0] - side[0], -top[1] - side[1])
        return self._box(x, y, first, second)

    def _box(self, x: Array, y: Array, first: tuple[Array, Array], second: tuple[Array, Array]) -> Array:
        """The box around a centre with these two neighbouring edges (pairs of arrays), by the version."""
        xp = array_module(x)
        lengths = [xp.sqrt(edge[0] * edge[0] + edge[1] * edge[1]) for edge in (first, second)]
        angle = xp.arctan2(first[1], first[0])
        if self.angle_version == "oc":
            angle = angle - math.pi * xp.floor(angle / math.pi)
            keeps = angle < QUARTER_TURN
            angle = xp.where(keeps, angle, angle - QUARTER_TURN)
        else:
            keeps = lengths[0] > lengths[1]
            # The edge from the first corner to the last runs against the second edge.
            angle = xp.where(keeps, angle, xp.arctan2(-second[1], -second[0]))
            angle = wrap_angles(angle, self.angle_version)
        width = xp.where(keeps, lengths[0], lengths[1])
        height = xp.where(keeps, lengths[1], lengths[0])
        return xp.stack([x, y, width, height, angle], -1)


def _same_length(
    xp: ModuleType, first: tuple[Array, Array], second: tuple[Array, Array]
) -> tuple[tuple[Array, Array], ...]:
    """Two vectors (pairs of arrays), the shorter one stretched to the length of the other."""
    lengths = [xp.sqrt(v[0] * v[0] + v[1] * v[1]) for v in (first, second)]
    longest = xp.maximum(*lengths)
    return tuple((v[0] * longest / n, v[1] * longest / n) for v, n in zip((first, second), lengths))
