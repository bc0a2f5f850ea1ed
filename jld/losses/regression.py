"""Element-wise distances between numbers."""

from __future__ import annotations

from jld.errors import ConfigError
from jld.losses.reduction import WeightedLoss
from jld.registry import LOSSES
from jld.toolchain import jittor as jt


def l1(pred: jt.Var, target: jt.Var) -> jt.Var:
    """[...] absolute difference."""
    return jt.abs(pred - target)


def squared_error(pred: jt.Var, target: jt.Var) -> jt.Var:
    """[...] squared difference."""
    difference = pred - target
    return difference * difference


def smooth_l1(pred: jt.Var, target: jt.Var, beta: float = 1.0) -> jt.Var:
    """Absolute difference, rounded to a parabola below `beta`.

    Args:
        pred: [...].
        target: [...].
        beta: > 0, where the parabola meets the straight line.
    Returns:
        [...]
    Source: arXiv:1504.08083, equation 3 (beta 1).
    """
    difference = jt.abs(pred - target)
    return jt.ternary(difference < beta, 0.5 * difference * difference / beta, difference - 0.5 * beta)


@LOSSES.register
class L1Loss(WeightedLoss):
    """Absolute difference."""

    def element_loss(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """[...] from two arrays [...]."""
        return l1(pred, target)


@LOSSES.register
class MSELoss(WeightedLoss):
    """Squared difference."""

    def element_loss(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """[...] from two arrays [...]."""
        return squared_error(pred, target)


@LOSSES.register
class SmoothL1Loss(WeightedLoss):
    """Absolute difference, quadratic below `beta`.

    Source: arXiv:1504.08083.
    """

    def __init__(self, beta: float = 1.0, loss_weight: float = 1.0, reduction: str = "mean"):
        """Args:
            beta: > 0, width of the quadratic part.
            loss_weight: factor of the reduced loss.
            reduction: see `reduce_loss`.
        Raises:
            ConfigError: beta is not positive.
        """
        super().__init__(loss_weight, reduction)
        if beta <= 0:
            raise ConfigError(f"SmoothL1Loss needs beta > 0, not {beta}: use L1Loss for the limit beta -> 0.")
        self.beta = beta

    def element_loss(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """[...] from two arrays [...]."""
        return smooth_l1(pred, target, self.beta)
