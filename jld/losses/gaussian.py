"""Rotated boxes as Gaussians, and the closed-form algebra of a pair of them.

A box of centre mu, sides w, h and angle theta becomes the Gaussian with mean mu and covariance
R(theta) diag(w^2 / 4, h^2 / 4) R(theta)^T (arXiv:2101.11952, section 3.1). Two boxes that describe the same
rectangle (angle plus pi, or sides exchanged and angle plus pi / 2) become the same Gaussian, so losses on
Gaussians have no angle period to care about; a square has no angle at all.

Nothing here builds a matrix. Traces and determinants of products of two such covariances depend only on the
four standard deviations and on the angle between the boxes; written in these, they need no matrix inverse,
and two nearly equal boxes do not lose their difference to rounding.

Box = (centre x, centre y, w, h, angle): px and radians, positive angles turn x towards y.
"""

from __future__ import annotations

from dataclasses import dataclass

from jld.toolchain import jittor as jt

# Sides are limited to this range in px before anything divides by them.
SIDE_RANGE = (1e-7, 1e7)


def split_rboxes(boxes: jt.Var) -> tuple[jt.Var, ...]:
    """Five Vars [...] of boxes [..., 5]: centre x, centre y, w, h (limited to SIDE_RANGE), angle.

    Raises:
        ValueError: the last axis is not 5 long.
    """
    if boxes.shape[-1] != 5:
        raise ValueError(
            f"rotated boxes have 5 numbers (x, y, w, h, angle), these {boxes.shape[-1]}: "
            f"their shape is {list(boxes.shape)}."
        )
    low, high = SIDE_RANGE
    x, y, w, h, angle = (boxes[..., index] for index in range(5))
    return x, y, jt.minimum(jt.maximum(w, low), high), jt.minimum(jt.maximum(h, low), high), angle


@dataclass(frozen=True)
class GaussianPair:
    """What the distances between two Gaussians need to know about them; every field is [...].

    The axes of the second Gaussian are named so that they turn against the first's by at most pi / 4.

    Attributes:
        first_std: standard deviations along the two axes of the first Gaussian, px.
        second_std: the same of the second.
        sin2: squared sine of the angle between the axes, in [0, 0.5].
        first_offset: components of the difference of the centres along the axes of the first, px.
        second_offset: the same along the axes of the second, up to sign.
        squared_shift: squared distance of the centres, px^2.
    """

    first_std: tuple
    second_std: tuple
    sin2: object
    first_offset: tuple
    second_offset: tuple
    squared_shift: object

    def swapped(self) -> GaussianPair:
        """The pair with the second Gaussian first."""
        return GaussianPair(
            self.second_std,
            self.first_std,
            self.sin2,
            self.second_offset,
            self.first_offset,
            self.squared_shift,
        )


def pair_boxes(first: jt.Var, second: jt.Var) -> GaussianPair:
    """Gaussian pairs of boxes [..., 5] and [..., 5], row by row.

    Raises:
        ValueError: a last axis is not 5 long.
    """
    x1, y1, w1, h1, angle1 = split_rboxes(first)
    x2, y2, w2, h2, angle2 = split_rboxes(second)
    sin, cos = jt.sin(angle1 - angle2), jt.cos(angle1 - angle2)
    sin2, cos2 = sin * sin, cos * cos
    # Where the boxes lie closer to crosswise than to parallel, the second one's sides change names.
    crosswise = sin2 > cos2
    dx, dy = x1 - x2, y1 - y2
    along1, across1 = _turn_back(dx, dy, angle1)
    along2, across2 = _turn_back(dx, dy, angle2)
    return GaussianPair(
        first_std=(w1 * 0.5, h1 * 0.5),
        second_std=_exchange(crosswise, w2 * 0.5, h2 * 0.5),
        sin2=jt.ternary(crosswise, cos2, sin2),
        first_offset=(along1, across1),
        second_offset=_exchange(crosswise, along2, across2),
        squared_shift=dx * dx + dy * dy,
    )


def _turn_back(dx: jt.Var, dy: jt.Var, angle: jt.Var) -> tuple[jt.Var, jt.Var]:
    cos, sin = jt.cos(angle), jt.sin(angle)
    return cos * dx + sin * dy, cos * dy - sin * dx


def _exchange(condition: jt.Var, one: jt.Var, other: jt.Var) -> tuple[jt.Var, jt.Var]:
    return jt.ternary(condition, other, one), jt.ternary(condition, one, other)


def mean_determinant_ratio(pair: GaussianPair) -> jt.Var:
    """det((S1 + S2) / 2) / sqrt(det S1 det S2): [...] >= 1, and 1 for equal covariances only."""
    (p1, p2), (t1, t2) = pair.first_std, pair.second_std
    return 1.0 + 0.25 * (_excess(p1, t1, p2, t2) + pair.sin2 * (p1 / p2 - p2 / p1) * (t1 / t2 - t2 / t1))


def _excess(p1: jt.Var, t1: jt.Var, p2: jt.Var, t2: jt.Var) -> jt.Var:
    # (x + 1/x)(y + 1/y) - 4 with x = p1 / t1 and y = p2 / t2, free of the cancellation around x = y = 1.
    first = (p1 - t1) / p1 * ((p1 - t1) / t1)  # x + 1/x - 2
    second = (p2 - t2) / p2 * ((p2 - t2) / t2)
    return 2.0 * (first + second) + first * second


def drop_unweighted(pred: jt.Var, target: jt.Var, row_weights: jt.Var) -> jt.Var:
    """Predictions whose rows of weight 0 are replaced by the target.

    A dense loss computes every row. A row that does not count may hold anything, and 0 times an infinite
    gradient is not 0; with prediction equal to target its loss and gradient are finite.

    Args:
        pred: [..., B].
        target: [..., B].
        row_weights: [...].
    Returns:
        [..., B]
    """
    counts = (row_weights != 0).unsqueeze(-1)
    return jt.ternary(counts.broadcast(pred.shape), pred, target)


def row_weights(weight: jt.Var, pred: jt.Var) -> jt.Var:
    """One weight per row [...] from weights [...] or, as box heads keep them, [..., B]: their mean."""
    return weight.mean(-1) if weight.ndim == pred.ndim else weight
