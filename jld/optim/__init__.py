"""Optimizers, learning-rate schedules and weight averaging; none of them knows models."""

from jld.optim.adam import Adam, AdamW
from jld.optim.average import WeightAverage, write_arrays
from jld.optim.base import Optimizer
from jld.optim.gradients import Gradients
from jld.optim.loss_scale import LossScale
from jld.optim.optimizers import Optimizers, divided
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
    "Gradients",
    "InvLR",
    "LossScale",
    "Optimizer",
    "Optimizers",
    "PolyLR",
    "Progress",
    "Schedule",
    "StepLR",
    "WeightAverage",
    "divided",
    "scaled_lr",
    "write_arrays",
]
