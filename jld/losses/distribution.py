"""Losses on a box side predicted as a distribution over bins (general distribution)."""

from __future__ import annotations

import numpy as np

from jld.losses.reduction import WeightedLoss
from jld.ops.soft_targets import soft_cross_entropy
from jld.registry import LOSSES
from jld.toolchain import jittor as jt


def distribution_focal(box_logits: jt.Var, targets: jt.Var) -> jt.Var:
    """Cross entropy that pulls probability to the two bins around a continuous target.

    Bin b gets the weight max(0, 1 - |b - target|): linear interpolation between the two neighbours, nothing
    elsewhere. Written densely, it needs no gather and no integer index.

    Args:
        box_logits: [..., B] before the softmax, bin values 0 ... B - 1.
        targets: [...] in [0, B - 1), in units of one bin.
    Returns:
        [...] in nats.
    Source: arXiv:2006.04388, equation 6.
    """
    bins = jt.array(np.arange(box_logits.shape[-1], dtype=np.float32))
    nearness = jt.maximum(1.0 - jt.abs(bins - targets.unsqueeze(-1)), 0.0)  # [..., B]
    return soft_cross_entropy(box_logits, nearness.reshape(box_logits.shape))


@LOSSES.register
class DistributionFocalLoss(WeightedLoss):
    """Distribution focal loss for box sides given as bins.

    Source: arXiv:2006.04388.
    """

    def element_loss(self, pred: jt.Var, target: jt.Var) -> jt.Var:
        """[...] from bin logits [..., B] and targets [...]."""
        return distribution_focal(pred, target)
