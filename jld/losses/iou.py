"""Box losses made of the overlap between predicted and target boxes.

Boxes are corners x1, y1, x2, y2; any unit serves, but the small constants (`eps`) mean squared units.
"""

from __future__ import annotations

import math

from jld.boxes.formats import split_corners
from jld.losses.reduction import WeightedLoss
from jld.losses.regression import smooth_l1
from jld.ops.box_overlaps import box_overlaps
from jld.registry import LOSSES
from jld.toolchain import jittor as jt


def iou_loss(pred: jt.Var, target: jt.Var, linear: bool = False, eps: float = 1e-6) -> jt.Var:
    """-log IoU, or 1 - IoU when `linear`.

    Args:
        pred: [..., 4] corners.
        target: [..., 4] corners.
        linear: which of the two forms.
        eps: floor of the IoU and of the union's area.
    Returns:
        [...]
    Source: arXiv:1608.01471.
    """
    iou = jt.maximum(box_overlaps(pred, target, "iou", eps), eps)
    return 1.0 - iou if linear else -jt.log(iou)


def giou_loss(pred: jt.Var, target: jt.Var, eps: float = 1e-6) -> jt.Var:
    """1 - GIoU, in [0, 2].

    Args:
        pred: [..., 4] corners.
        target: [..., 4] corners.
        eps: floor of the areas that divide.
    Returns:
        [...]
    Source: arXiv:1902.09630, algorithm 1.
    """
    return 1.0 - box_overlaps(pred, target, "giou", eps)


def diou_loss(pred: jt.Var, target: jt.Var, eps: float = 1e-6) -> jt.Var:
    """1 - IoU + squared centre distance over squared diagonal of the enclosing box.

    Args:
        pred: [..., 4] corners.
        target: [..., 4] corners.
        eps: added to the union and to the squared diagonal.
    Returns:
        [...]
    Source: arXiv:1911.08287, equation 7.
    """
    iou, center_penalty = _iou_and_center_penalty(pred, target, eps)
    return 1.0 - iou + center_penalty


def ciou_loss(pred: jt.Var, target: jt.Var, eps: float = 1e-6) -> jt.Var:
    """DIoU loss plus a penalty on the difference of aspect ratios.

    Args:
        pred: [..., 4] corners.
        target: [..., 4] corners.
        eps: added to the union, to the squared diagonal and to the heights; floor of the last divisor.
    Returns:
        [...]
    Source: arXiv:1911.08287, equation 10; the trade-off factor v / (1 - IoU + v) carries gradient, as in the
        released code.
    Differs: the released code divides 0 by 0 for identical boxes, here the penalty is 0 there.
    """
    iou, center_penalty = _iou_and_center_penalty(pred, target, eps)
    ratio_gap = _aspect_angle(target, eps) - _aspect_angle(pred, eps)
    aspect = ratio_gap * ratio_gap * (4.0 / math.pi**2)
    return 1.0 - iou + center_penalty + aspect * aspect / jt.maximum(1.0 - iou + aspect, eps)


def bounded_iou_loss(pred: jt.Var, target: jt.Var, beta: float = 0.2, eps: float = 1e-3) -> jt.Var:
    """Upper bounds of 1 - IoU that each coordinate alone would allow, smoothed near 0.

    Args:
        pred: [..., 4] corners.
        target: [..., 4] corners; no gradient flows into it.
        beta: width of the quadratic part.
        eps: added to the divisors, in the unit of the boxes.
    Returns:
        [..., 4] for centre x, centre y, width, height.
    Source: arXiv:1711.00164, equations 8 to 11.
    """
    pred_x, pred_y, pred_w, pred_h = _center_and_size(pred)
    target_x, target_y, target_w, target_h = _center_and_size(target.detach())
    bounds = [
        _shift_bound(pred_x, target_x, target_w, eps),
        _shift_bound(pred_y, target_y, target_h, eps),
        _scale_bound(pred_w, target_w, eps),
        _scale_bound(pred_h, target_h, eps),
    ]
    return smooth_l1(jt.stack(bounds, dim=-1), 0.0, beta)


def _shift_bound(pred: jt.Var, target: jt.Var, size: jt.Var, eps: float) -> jt.Var:
    distance = 2.0 * jt.abs(target - pred)
    return 1.0 - jt.maximum((size - distance) / (size + distance + eps), 0.0)


def _scale_bound(pred: jt.Var, target: jt.Var, eps: float) -> jt.Var:
    return 1.0 - jt.minimum(target / (pred + eps), pred / (target + eps))


def _center_and_size(boxes: jt.Var) -> tuple[jt.Var, ...]:
    x1, y1, x2, y2 = split_corners(boxes)
    return (x1 + x2) * 0.5, (y1 + y2) * 0.5, x2 - x1, y2 - y1


def _iou_and_center_penalty(pred: jt.Var, target: jt.Var, eps: float) -> tuple[jt.Var, jt.Var]:
    """IoU [...] and squared centre distance over squared enclosing diagonal [...]."""
    px1, py1, px2, py2 = split_corners(pred)
    tx1, ty1, tx2, ty2 = split_corners(target)
    inter_w = jt.maximum(jt.minimum(px2, tx2) - jt.maximum(px1, tx1), 0.0)
    inter_h = jt.maximum(jt.minimum(py2, ty2) - jt.maximum(py1, ty1), 0.0)
    inter = inter_w * inter_h
    union = (px2 - px1) * (py2 - py1) + (tx2 - tx1) * (ty2 - ty1) - inter + eps
    outer_w = jt.maximum(px2, tx2) - jt.minimum(px1, tx1)
    outer_h = jt.maximum(py2, ty2) - jt.minimum(py1, ty1)
    shift_x = (tx1 + tx2) - (px1 + px2)  # twice the shift of the centre, hence the quarter below
    shift_y = (ty1 + ty2) - (py1 + py2)
    distance = 0.25 * (shift_x * shift_x + shift_y * shift_y)
    return inter / union, distance / (outer_w * outer_w + outer_h * outer_h + eps)


def _aspect_angle(boxes: jt.Var, eps: float) -> jt.Var:
    x1, y1, x2, y2 = split_corners(boxes)
    return jt.arctan((x2 - x1) / (y2 - y1 + eps))


@LOSSES.register
class IoULoss(WeightedLoss):
    """-log IoU (or 1 - IoU) of boxes.

    Source: arXiv:1608.01471.
    """

    def __init__(
        self, linear: bool = False, eps: float = 1e-6, loss_weight: float = 1.0, reduction: str = "mean"
    ):
        """Args:
        linear: 1 - IoU instead of the logarithm.
        eps: floor of the IoU.
        loss_weight: factor of the reduced loss.
        reduction: see `reduce_loss`.
        """
        super().__init__(loss_weight, reduction)
        self.linear, self.eps = linear, eps

    def element_loss(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """[...] from boxes [..., 4]."""
        return iou_loss(pred, target, self.linear, self.eps)


class _EpsLoss(WeightedLoss):
    def __init__(self, eps: float = 1e-6, loss_weight: float = 1.0, reduction: str = "mean"):
        """Args:
        eps: guard of the divisions.
        loss_weight: factor of the reduced loss.
        reduction: see `reduce_loss`.
        """
        super().__init__(loss_weight, reduction)
        self.eps = eps


@LOSSES.register
class GIoULoss(_EpsLoss):
    """Generalized IoU loss of boxes.

    Source: arXiv:1902.09630.
    """

    def element_loss(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """[...] from boxes [..., 4]."""
        return giou_loss(pred, target, self.eps)


@LOSSES.register
class DIoULoss(_EpsLoss):
    """Distance IoU loss of boxes.

    Source: arXiv:1911.08287.
    """

    def element_loss(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """[...] from boxes [..., 4]."""
        return diou_loss(pred, target, self.eps)


@LOSSES.register
class CIoULoss(_EpsLoss):
    """Complete IoU loss of boxes: distance and aspect ratio.

    Source: arXiv:1911.08287.
    """

    def element_loss(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """[...] from boxes [..., 4]."""
        return ciou_loss(pred, target, self.eps)


@LOSSES.register
class BoundedIoULoss(WeightedLoss):
    """Bounded IoU loss: one bound per box coordinate.

    Source: arXiv:1711.00164.
    """

    def __init__(
        self, beta: float = 0.2, eps: float = 1e-3, loss_weight: float = 1.0, reduction: str = "mean"
    ):
        """Args:
        beta: width of the quadratic part.
        eps: added to the divisors.
        loss_weight: factor of the reduced loss.
        reduction: see `reduce_loss`.
        """
        super().__init__(loss_weight, reduction)
        self.beta, self.eps = beta, eps

    def element_loss(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """[..., 4] from boxes [..., 4]."""
        return bounded_iou_loss(pred, target, self.beta, self.eps)
