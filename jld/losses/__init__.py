"""Pure loss functions and the thin registered classes a config names.

Functions return one value per element, unreduced; `reduction.reduce_loss` turns them into a scalar. Nothing
here knows heads, configs or teachers.
"""

from jld.losses.cross_entropy import CrossEntropyLoss, binary_cross_entropy_with_logits, cross_entropy
from jld.losses.distribution import DistributionFocalLoss, distribution_focal
from jld.losses.focal import (
    FocalLoss,
    QualityFocalLoss,
    distillation_focal,
    quality_focal,
    quality_focal_probs,
    sigmoid_focal,
)
from jld.losses.gaussian import GaussianPair, pair_boxes
from jld.losses.gaussian_distance import (
    GDLoss,
    GDLossV1,
    bhattacharyya,
    distance_to_loss,
    first_family_loss,
    gwd_distance,
    kl_second_to_first,
    squared_wasserstein,
)
from jld.losses.iou import (
    BoundedIoULoss,
    CIoULoss,
    DIoULoss,
    GIoULoss,
    IoULoss,
    bounded_iou_loss,
    ciou_loss,
    diou_loss,
    giou_loss,
    iou_loss,
)
from jld.losses.kfiou import KFLoss, kfiou, kfiou_loss
from jld.losses.kl import binary_kl_divergence, kl_divergence
from jld.losses.reduction import Loss, WeightedLoss, reduce_loss
from jld.losses.regression import L1Loss, MSELoss, SmoothL1Loss, l1, smooth_l1, squared_error

__all__ = [
    "BoundedIoULoss",
    "CIoULoss",
    "CrossEntropyLoss",
    "DIoULoss",
    "DistributionFocalLoss",
    "FocalLoss",
    "GDLoss",
    "GDLossV1",
    "GIoULoss",
    "GaussianPair",
    "IoULoss",
    "KFLoss",
    "L1Loss",
    "Loss",
    "MSELoss",
    "QualityFocalLoss",
    "SmoothL1Loss",
    "WeightedLoss",
    "bhattacharyya",
    "binary_cross_entropy_with_logits",
    "binary_kl_divergence",
    "bounded_iou_loss",
    "ciou_loss",
    "cross_entropy",
    "diou_loss",
    "distance_to_loss",
    "distillation_focal",
    "distribution_focal",
    "first_family_loss",
    "giou_loss",
    "gwd_distance",
    "iou_loss",
    "kfiou",
    "kfiou_loss",
    "kl_divergence",
    "kl_second_to_first",
    "l1",
    "pair_boxes",
    "quality_focal",
    "quality_focal_probs",
    "reduce_loss",
    "sigmoid_focal",
    "smooth_l1",
    "squared_error",
    "squared_wasserstein",
]
