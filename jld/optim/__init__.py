"""Optimizers, learning-rate schedules and weight averaging; none of them knows models."""

from jld.optim.adam import Adam, AdamW
from jld.optim.average import WeightAverage
from jld.optim.base import Optimizer
from jld.optim.loss_scale import LossScale
from jld.optim.schedules import (
    ConstantLR,
    CosineAnnealingLR,
    ExpLR,
    InvLR,
    PolyLR,
    Progress,
    Schedule,
    StepLR,
    scaled_lr,
)
from jld.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "ConstantLR",
    "CosineAnnealingLR",
    "ExpLR",
    "InvLR",
    "LossScale",
    "Optimizer",
    "PolyLR",
    "Progress",
    "Schedule",
    "StepLR",
    "WeightAverage",
    "scaled_lr",
]
