"""What one forward pass of a detector left behind."""

from __future__ import annotations

from dataclasses import dataclass

from jld.boxes.priors import Priors
from jld.toolchain import jittor as jt


@dataclass(frozen=True)
class Trace:
    """Features and predictions of one batch; losses, detection and distillation read nothing else of a model.

    Attributes:
        features: neck outputs [N, D, H_l, W_l], fine to coarse.
        predictions: the head's documented dict, all levels concatenated.
        priors: where the P rows of the predictions lie.
    """

    features: tuple[jt.Var, ...]
    predictions: dict[str, jt.Var]
    priors: Priors
