"""Overlap of rotated boxes by the product of their Gaussians (KFIoU), and the loss made of it."""

from __future__ import annotations

from jld.errors import one_of
from jld.losses.gaussian import (
    GaussianPair,
    drop_unweighted,
    mean_determinant_ratio,
    pair_boxes,
    row_weights,
)
from jld.losses.reduction import WeightedLoss
from jld.losses.regression import smooth_l1
from jld.registry import LOSSES
from jld.toolchain import jittor as jt

FUNCTIONS = ("none", "ln", "exp")


def kfiou(pair: GaussianPair, eps: float = 1e-6) -> jt.Var:
    """Overlap of two boxes moved to one centre, with the product of their Gaussians as intersection.

    The volume of a Gaussian is the area of its box, 4 sqrt(det S); the product of two has the covariance
    S_1 (S_1 + S_2)^-1 S_2, which is the update of a Kalman filter.

    Args:
        pair: Gaussians [...]; the centres are not looked at.
        eps: added to the divisor, px^2.
    Returns:
        [...] in [0, 1/3]; 1/3 for equal shapes.
    Source: arXiv:2201.12558, equations 5 and 6.
    """
    (p1, p2), (t1, t2) = pair.first_std, pair.second_std
    product = 2.0 * jt.sqrt(p1 * t1) * jt.sqrt(p2 * t2) / jt.sqrt(mean_determinant_ratio(pair))
    return product / (4.0 * (p1 * p2 + t1 * t2) - product + eps)


def kfiou_loss(pred_boxes: jt.Var, target_boxes: jt.Var, fun: str = "none", eps: float = 1e-6) -> jt.Var:
    """Loss that falls with the KFIoU; it does not see the centres.

    Args:
        pred_boxes: [..., 5] centre x, centre y, w, h in px, angle in radians.
        target_boxes: [..., 5].
        fun: `none` 1 - KFIoU, `ln` -ln(KFIoU + eps), `exp` e^(1 - KFIoU) - 1.
        eps: see `kfiou`.
    Returns:
        [...], at least 2/3, ln 3 or e^(2/3) - 1.
    Raises:
        ConfigError: unknown `fun`.
    """
    _check_function(fun)
    overlap = kfiou(pair_boxes(pred_boxes, target_boxes), eps)
    if fun == "ln":
        return -jt.log(overlap + eps)
    return jt.exp(1.0 - overlap) - 1.0 if fun == "exp" else 1.0 - overlap


def _check_function(fun: str) -> str:
    return one_of(fun, FUNCTIONS, f"unknown KFIoU fun {fun!r}")


@LOSSES.register(aliases=("KFIoULoss",))
class KFLoss(WeightedLoss):
    """KFIoU of decoded boxes plus smooth L1 of the encoded centres.

    Source: arXiv:2201.12558; mmRotate's `KFLoss`.
    Differs: boxes without area have an overlap of 0 by the formula, no value is repaired afterwards.
    """

    # Heads read this: the loss is called with deltas and, as `pred_decode` and `targets_decode`, with boxes.
    uses_deltas_and_boxes = True
    turned_is_same = True

    def __init__(
        self,
        fun: str = "none",
        reduction: str = "mean",
        loss_weight: float = 1.0,
        beta: float = 1.0 / 9.0,
        eps: float = 1e-6,
    ):
        """Args:
            fun: see `kfiou_loss`.
            reduction: see `reduce_loss`.
            loss_weight: factor of the reduced loss.
            beta: width of the quadratic part of the centre term.
            eps: see `kfiou`.
        Raises:
            ConfigError: unknown `fun`.
        """
        super().__init__(loss_weight, reduction)
        self.fun, self.beta, self.eps = _check_function(fun), beta, eps

    def element_loss(self, pred: tuple[jt.Var, jt.Var], target: tuple[jt.Var, jt.Var]) -> jt.Var:
        """[...] from pairs (deltas [..., 5], boxes [..., 5])."""
        (pred_deltas, pred_boxes), (target_deltas, target_boxes) = pred, target
        centers = smooth_l1(pred_deltas[..., :2], target_deltas[..., :2], self.beta).sum(-1)
        return centers + kfiou_loss(pred_boxes, target_boxes, self.fun, self.eps)

    def __call__(  # type: ignore[override]  # who calls it reads uses_deltas_and_boxes
        self,
        pred: jt.Var,
        target: jt.Var,
        weight: jt.Var | None = None,
        avg_factor: jt.Var | float | None = None,
        *,
        pred_decode: jt.Var,
        targets_decode: jt.Var,
    ) -> jt.Var:
        """Scalar loss.

        Args:
            pred: [..., 5] predicted deltas, of which the first two (the centre) are read.
            target: [..., 5] encoded targets.
            weight: [...] or [..., 5] (their mean counts).
            avg_factor: see `reduce_loss`.
            pred_decode: [..., 5] predicted boxes.
            targets_decode: [..., 5] true boxes.
        """
        if weight is not None:
            weight = row_weights(weight, pred)
            pred = drop_unweighted(pred, target, weight)
            pred_decode = drop_unweighted(pred_decode, targets_decode, weight)
        return super().__call__((pred, pred_decode), (target, targets_decode), weight, avg_factor)
