"""Rotated boxes as offsets from an anchor, on NumPy arrays and Jittor Vars.

Angle versions are those of `jld.boxes.rotated.angles`. Source: mmRotate's coders of the same names
(arXiv:2204.13317); the offsets themselves are those of arXiv:1311.2524, appendix C.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from jld.boxes.backend import Array, array_module
from jld.boxes.formats import xyxy_to_cxcywh
from jld.boxes.rotated.angles import check_version, wrap_angles
from jld.errors import ConfigError
from jld.registry import CODERS

QUARTER_TURN = math.pi / 2


def _columns(array: Array) -> tuple[Array, ...]:
    return tuple(array[..., i] for i in range(array.shape[-1]))


class _RotatedDeltas:
    """What both coders share: scaling of the raw deltas, limits on the sizes, the choice of the edge."""

    num_values = 5

    def __init__(
        self,
        angle_version: str = "oc",
        edge_swap: bool = False,
        proj_xy: bool = False,
        norm_factor: float | None = None,
        *,
        means: Sequence[float] = (0.0, 0.0, 0.0, 0.0, 0.0),
        stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0, 1.0),
        size_ratio_clip: float = 16 / 1000,
    ):
        if norm_factor is not None and norm_factor <= 0:
            raise ConfigError(
                f"{type(self).__name__}: norm_factor is {norm_factor}; give a positive number, or None for "
                "angles in radians."
            )
        self.angle_version = check_version(angle_version)
        self.edge_swap, self.proj_xy = edge_swap, proj_xy
        self.angle_unit = 1.0 if norm_factor is None else norm_factor * math.pi
        self.means, self.stds = tuple(means), tuple(stds)
        self.max_log_ratio = abs(math.log(size_ratio_clip))

    def wrap(self, angles: Array) -> Array:
        """Angles in the range of the version."""
        return wrap_angles(angles, self.angle_version)

    def encode_sizes(
        self, anchor_w: Array, anchor_h: Array, width: Array, height: Array, turn: Array
    ) -> tuple[Array, Array, Array]:
        """Log size ratios and angle of a box, described by that of its edges which turns less.

        Args:
            anchor_w, anchor_h, width, height: [...] px.
            turn: [...] angle to describe, radians.
        """
        xp, angle = array_module(turn), self.wrap(turn)
        if self.edge_swap:
            other = self.wrap(turn + QUARTER_TURN)
            keeps = xp.abs(angle) < xp.abs(other)
            width, height = xp.where(keeps, width, height), xp.where(keeps, height, width)
            angle = xp.where(keeps, angle, other)
        return xp.log(width / anchor_w), xp.log(height / anchor_h), angle / self.angle_unit

    def decode_sizes(self, anchor_w: Array, anchor_h: Array, dw: Array, dh: Array) -> tuple[Array, Array]:
        """Sizes in px of the log ratios, within the limits."""
        xp, limit = array_module(dw), self.max_log_ratio
        ratio_w, ratio_h = (xp.exp(xp.minimum(xp.maximum(d, -limit), limit)) for d in (dw, dh))
        return anchor_w * ratio_w, anchor_h * ratio_h

    def finish(
        self,
        x: Array,
        y: Array,
        width: Array,
        height: Array,
        angle: Array,
        image_shape: tuple[float, float] | None = None,
    ) -> Array:
        """Boxes [..., 5] of their columns, with the centre in the image and the width the longer edge."""
        xp = array_module(angle)
        if image_shape is not None:
            last_row, last_column = image_shape[0] - 1.0, image_shape[1] - 1.0
            x = xp.minimum(xp.maximum(x, 0.0), last_column)
            y = xp.minimum(xp.maximum(y, 0.0), last_row)
        if self.edge_swap:
            is_wide = width > height
            width, height = xp.where(is_wide, width, height), xp.where(is_wide, height, width)
            angle = self.wrap(xp.where(is_wide, angle, angle + QUARTER_TURN))
        return xp.stack([x, y, width, height, angle], -1)

    def normalized(self, raw: Sequence[Array]) -> Array:
        """[..., 5] deltas of raw columns."""
        values = [(v - m) / s for v, m, s in zip(raw, self.means, self.stds, strict=True)]
        return array_module(raw[0]).stack(values, -1)

    def raw_columns(self, deltas: Array) -> tuple[Array, ...]:
        """The five raw columns [...] of deltas [..., 5]."""
        columns = zip(_columns(deltas), self.means, self.stds, strict=True)
        return tuple(v * s + m for v, m, s in columns)


@CODERS.register
class DeltaXYWHAOBBoxCoder(_RotatedDeltas):
    """Rotated boxes relative to rotated anchors: shift, log ratio of the sizes, difference of the angles.

    Args:
        angle_version: `oc`, `le90` or `le135`; with `oc` decoded angles are not brought into a range.
        edge_swap: describe a box by the edge that turns less from the anchor, decode to width >= height.
        proj_xy: measure the shift along the anchor's axes instead of the image's.
        norm_factor: the angle is divided by this times pi; None: radians.
        means: subtracted from the raw deltas dx, dy, dw, dh, dangle.
        stds: the raw deltas are divided by them.
        size_ratio_clip: decoded sizes stay within [this, 1 / this] times the anchor's size.
    Raises:
        ConfigError: unknown angle version, norm_factor not positive.
    Source: mmRotate's coder of that name. Published settings: oc without options; le90 with edge_swap and
        proj_xy; le135 with proj_xy and norm_factor 1 (JDet as well).
    """

    def encode(self, anchors: Array, boxes: Array) -> Array:
        """Deltas [..., 5] that turn anchors [..., 5] into boxes [..., 5]; px and radians, sizes positive."""
        anchor_x, anchor_y, anchor_w, anchor_h, anchor_angle = _columns(anchors)
        x, y, width, height, angle = _columns(boxes)
        right, down = x - anchor_x, y - anchor_y
        if self.proj_xy:
            xp = array_module(boxes)
            cos, sin = xp.cos(anchor_angle), xp.sin(anchor_angle)
            right, down = cos * right + sin * down, cos * down - sin * right
        sizes = self.encode_sizes(anchor_w, anchor_h, width, height, angle - anchor_angle)
        return self.normalized((right / anchor_w, down / anchor_h, *sizes))

    def decode(self, anchors: Array, deltas: Array, image_shape: tuple[float, float] | None = None) -> Array:
        """Rotated boxes [..., 5] from anchors [..., 5] and deltas [..., 5].

        Args:
            anchors: px and radians.
            deltas: what `encode` returns or a network predicts.
            image_shape: height, width of the image into which centres are moved, or None.
        """
        anchor_x, anchor_y, anchor_w, anchor_h, anchor_angle = _columns(anchors)
        dx, dy, dw, dh, turn = self.raw_columns(deltas)
        right, down = dx * anchor_w, dy * anchor_h
        if self.proj_xy:
            xp = array_module(deltas)
            cos, sin = xp.cos(anchor_angle), xp.sin(anchor_angle)
            right, down = cos * right - sin * down, sin * right + cos * down
        width, height = self.decode_sizes(anchor_w, anchor_h, dw, dh)
        angle = self.wrap(anchor_angle + turn * self.angle_unit)
        return self.finish(anchor_x + right, anchor_y + down, width, height, angle, image_shape)


@CODERS.register
class DeltaXYWHAHBBoxCoder(_RotatedDeltas):
    """Rotated boxes relative to upright anchors: shift, log ratio of the sizes, the angle itself.

    Args:
        angle_version, norm_factor, means, stds, size_ratio_clip: see `DeltaXYWHAOBBoxCoder`.
        edge_swap: describe a box by the edge nearer to the x axis, decode to width >= height.
    Raises:
        ConfigError: unknown angle version, norm_factor not positive.
    Source: mmRotate's coder of that name, used by two-stage heads.
    """

    def __init__(
        self,
        angle_version: str = "oc",
        edge_swap: bool = False,
        norm_factor: float | None = None,
        *,
        means: Sequence[float] = (0.0, 0.0, 0.0, 0.0, 0.0),
        stds: Sequence[float] = (1.0, 1.0, 1.0, 1.0, 1.0),
        size_ratio_clip: float = 16 / 1000,
    ):
        super().__init__(
            angle_version, edge_swap, False, norm_factor,
            means=means, stds=stds, size_ratio_clip=size_ratio_clip,
        )  # fmt: skip

    def encode(self, anchors: Array, boxes: Array) -> Array:
        """Deltas [..., 5] that turn anchors [..., 4] (corners) into boxes [..., 5]; px and radians."""
        anchor_x, anchor_y, anchor_w, anchor_h = _columns(xyxy_to_cxcywh(anchors))
        x, y, width, height, angle = _columns(boxes)
        sizes = self.encode_sizes(anchor_w, anchor_h, width, height, angle)
        return self.normalized(((x - anchor_x) / anchor_w, (y - anchor_y) / anchor_h, *sizes))

    def decode(self, anchors: Array, deltas: Array, image_shape: tuple[float, float] | None = None) -> Array:
        """Rotated boxes [..., 5] from anchors [..., 4] and deltas [..., 5]; as `DeltaXYWHAOBBoxCoder`."""
        anchor_x, anchor_y, anchor_w, anchor_h = _columns(xyxy_to_cxcywh(anchors))
        dx, dy, dw, dh, turn = self.raw_columns(deltas)
        width, height = self.decode_sizes(anchor_w, anchor_h, dw, dh)
        x, y = anchor_x + dx * anchor_w, anchor_y + dy * anchor_h
        return self.finish(x, y, width, height, self.wrap(turn * self.angle_unit), image_shape)
