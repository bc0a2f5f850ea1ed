"""Imitation of feature vectors."""

from __future__ import annotations

from jld.losses.reduction import WeightedLoss
from jld.losses.regression import squared_error
from jld.registry import LOSSES


def feature_imitation(student_features, teacher_features):
    """Squared difference of features; no gradient flows into the teacher.

    Args:
        student_features: [...] any layout.
        teacher_features: [...] the same layout.
    Returns:
        [...]
    Source: arXiv:1412.6550, equation 3, without its factor 1/2.
    """
    return squared_error(student_features, teacher_features.detach())


@LOSSES.register
class IMLoss(WeightedLoss):
    """Mean squared difference of student and teacher features.

    Source: arXiv:2102.12252 (feature imitation baselines).
    """

    def element_loss(self, pred, target):
        """[...] from student and teacher features [...]."""
        return feature_imitation(pred, target)
