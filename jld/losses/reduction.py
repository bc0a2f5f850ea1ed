"""From one loss value per element to one number: weights, reductions and the divisor of the average."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeAlias

from jld.errors import ConfigError, one_of
from jld.registry import LOSSES
from jld.toolchain import jittor as jt

# What a loss compares predictions with: an array, or several such as labels and their qualities.
Target: TypeAlias = "jt.Var | tuple[jt.Var, ...]"
REDUCTIONS = ("none", "mean", "sum")


def reduce_loss(
    loss: jt.Var,
    weight: jt.Var | None = None,
    reduction: str = "mean",
    avg_factor: jt.Var | float | None = None,
) -> jt.Var:
    """Weights element losses and reduces them.

    Args:
        loss: [...] one value per element.
        weight: [...] factor per element; missing trailing axes are broadcast, so one weight per row serves a
            loss with several values per row. None is 1 everywhere.
        reduction: `none`, `mean` (over all elements, whatever their weight) or `sum`.
        avg_factor: number or scalar Var that replaces the element count as divisor of `mean`.
    Returns:
        Scalar Var, or [...] for `none`.
    Raises:
        ConfigError: unknown reduction, or `avg_factor` given with `sum`.
    Source: mmDetection's `weight_reduce_loss`.
    """
    check_reduction(reduction)
    if weight is not None:
        while weight.ndim < loss.ndim:
            weight = weight.unsqueeze(-1)
        loss = loss * weight
    if reduction == "none":
        return loss
    if avg_factor is not None:
        if reduction == "sum":
            raise ConfigError(
                "avg_factor divides a mean, it has no meaning with reduction 'sum': use 'mean'."
            )
        return total(loss) / avg_factor
    return total(loss) / loss.numel() if reduction == "mean" else total(loss)


def total(values: jt.Var, axes: Sequence[int] | None = None) -> jt.Var:
    """Sum of [...] over all axes or the given ones, accumulated in double precision.

    A dense focal loss adds millions of tiny values to a large sum. On the CPU Jittor adds one after the
    other, and in single precision the last ones vanish: 1e-4 of the sum is missing at 10^5 values, 1e-2 at
    10^7.
    """
    wide = values.float64()
    return (wide.sum() if axes is None else wide.sum(list(axes))).float32()


def check_reduction(reduction: str) -> str:
    """`reduction` itself.

    Raises:
        ConfigError: not one of REDUCTIONS.
    """
    return one_of(reduction, REDUCTIONS, f"unknown loss reduction {reduction!r}")


@LOSSES.interface
class Loss(Protocol):
    """A scalar from predictions and targets, as heads call it."""

    def __call__(
        self,
        pred: jt.Var,
        target: Target,
        /,
        weight: jt.Var | None = None,
        avg_factor: jt.Var | float | None = None,
    ) -> jt.Var:
        """Scalar loss; see `reduce_loss` for `weight` and `avg_factor`."""


class WeightedLoss:
    """Base of the registered losses: element loss, reduction, constant factor.

    Subclasses implement `element_loss(pred, target)` and add their own constants to the constructor.
    """

    # Whether a rotated box with its sides changed over and a quarter turn is the same box to the loss.
    turned_is_same = False

    def __init__(self, loss_weight: float = 1.0, reduction: str = "mean"):
        """Args:
        loss_weight: factor of the reduced loss.
        reduction: see `reduce_loss`.
        """
        self.loss_weight = float(loss_weight)
        self.reduction = check_reduction(reduction)

    def element_loss(self, pred: jt.Var, target: Target) -> jt.Var:
        """[...] unreduced, unweighted loss."""
        raise NotImplementedError

    def __call__(
        self,
        pred: jt.Var,
        target: Target,
        weight: jt.Var | None = None,
        avg_factor: jt.Var | float | None = None,
    ) -> jt.Var:
        """Scalar loss; see `reduce_loss` for `weight` and `avg_factor`."""
        loss = reduce_loss(self.element_loss(pred, target), weight, self.reduction, avg_factor)
        return loss * self.loss_weight
