"""Learning rates as pure functions of how far training has come.

A schedule has no state: the learning rate of an iteration follows from the config and the position alone, so
nothing has to be restored on resume and a changed config takes effect at once.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

from jld.errors import ConfigError, one_of
from jld.registry import SCHEDULERS

WARMUPS = {
    "constant": lambda done, ratio: ratio,
    "linear": lambda done, ratio: 1 - (1 - done) * (1 - ratio),
    "exp": lambda done, ratio: ratio ** (1 - done),
}


@dataclass(frozen=True)
class Progress:
    """How far training has come.

    Attributes:
        iteration: number of optimizer steps finished, 0 before the first.
        epoch: number of epochs finished.
        by_epoch: the run counts epochs (`max_epoch`), not iterations (`max_iter`).
    """

    iteration: int
    epoch: int
    by_epoch: bool = True


@dataclass(eq=False)
class Schedule(ABC):
    """Base: warm-up over the first iterations, then `regular_lr`.

    Args:
        warmup: None, "constant", "linear" or "exp".
        warmup_iters: length of the warm-up in iterations.
        warmup_ratio: learning rate at iteration 0 as a fraction of the regular one.
        by_epoch: whether steps and milestones are epochs; None: epochs if the run has `max_epoch`,
            iterations if it has `max_iter`.
    Raises:
        ConfigError: unknown warm-up.
    """

    _: KW_ONLY
    warmup: str | None = None
    warmup_iters: int = 500
    warmup_ratio: float = 1 / 3
    by_epoch: bool | None = None

    def __post_init__(self):
        if self.warmup is not None:
            one_of(self.warmup, WARMUPS, f"scheduler.warmup is {self.warmup!r}")

    def lr(self, base_lr: float, progress: Progress) -> float:
        """The learning rate of the next iteration."""
        by_epoch = progress.by_epoch if self.by_epoch is None else self.by_epoch
        regular = self.regular_lr(base_lr, progress.epoch if by_epoch else progress.iteration)
        if self.warmup is None or progress.iteration >= self.warmup_iters:
            return regular
        return regular * WARMUPS[self.warmup](progress.iteration / self.warmup_iters, self.warmup_ratio)

    @abstractmethod
    def regular_lr(self, base_lr: float, steps: int) -> float:
        """The learning rate after `steps` epochs or iterations, warm-up left out."""

    def state_dict(self) -> dict:
        """The settings, for the reader of a checkpoint; nothing is restored from them."""
        return {"type": type(self).__name__, **vars(self)}


@SCHEDULERS.register(aliases=("WarmUpLR",))
class ConstantLR(Schedule):
    """The base learning rate throughout, after the warm-up."""

    def regular_lr(self, base_lr: float, steps: int) -> float:
        """See `Schedule`."""
        return base_lr


@SCHEDULERS.register
@dataclass(eq=False)
class StepLR(Schedule):
    """Multiplies by gamma at every milestone.

    Args:
        milestones: numbers of finished epochs (or iterations) after which to multiply, or one interval.
        gamma: the factor.
        min_lr: floor, or None.
    """

    milestones: Sequence[int] | int
    gamma: float = 0.1
    min_lr: float | None = None

    def __post_init__(self):
        super().__post_init__()
        values = [self.milestones] if isinstance(self.milestones, int) else list(self.milestones)
        if any(value <= 0 for value in values):
            raise ConfigError(f"scheduler.milestones is {self.milestones}: every milestone must be above 0.")
        self.milestones = self.milestones if isinstance(self.milestones, int) else values

    def regular_lr(self, base_lr: float, steps: int) -> float:
        """See `Schedule`."""
        if isinstance(self.milestones, int):
            passed = steps // self.milestones
        else:
            passed = sum(steps >= milestone for milestone in self.milestones)
        lr = base_lr * self.gamma**passed
        return lr if self.min_lr is None else max(lr, self.min_lr)


@SCHEDULERS.register
@dataclass(eq=False)
class CosineAnnealingLR(Schedule):
    """Half a cosine from the base learning rate down to the minimum.

    Args:
        max_steps: epochs (or iterations) until the minimum; it stays there afterwards.
        min_lr: the minimum, or
        min_lr_ratio: the minimum as a fraction of the base; give one of the two.
    Source: arXiv:1608.03983, equation 5 without restarts.
    """

    max_steps: int
    min_lr: float | None = None
    min_lr_ratio: float | None = None

    def __post_init__(self):
        super().__post_init__()
        if (self.min_lr is None) == (self.min_lr_ratio is None):
            raise ConfigError("scheduler: CosineAnnealingLR needs min_lr or min_lr_ratio, one of the two.")

    def regular_lr(self, base_lr: float, steps: int) -> float:
        """See `Schedule`."""
        low = base_lr * (self.min_lr_ratio or 0.0) if self.min_lr is None else self.min_lr
        done = min(steps / self.max_steps, 1.0)
        return low + 0.5 * (base_lr - low) * (1 + math.cos(math.pi * done))


@SCHEDULERS.register
@dataclass(eq=False)
class PolyLR(Schedule):
    """(1 - done)^power from the base learning rate down to `min_lr`."""

    max_steps: int
    power: float = 1.0
    min_lr: float = 0.0

    def regular_lr(self, base_lr: float, steps: int) -> float:
        """See `Schedule`."""
        left = max(1 - steps / self.max_steps, 0.0)
        return self.min_lr + (base_lr - self.min_lr) * left**self.power


@SCHEDULERS.register
@dataclass(eq=False)
class ExpLR(Schedule):
    """Multiplies by gamma at every step."""

    gamma: float

    def regular_lr(self, base_lr: float, steps: int) -> float:
        """See `Schedule`."""
        return base_lr * self.gamma**steps


@SCHEDULERS.register
@dataclass(eq=False)
class InvLR(Schedule):
    """base * (1 + gamma * steps)^-power."""

    gamma: float
    power: float = 1.0

    def regular_lr(self, base_lr: float, steps: int) -> float:
        """See `Schedule`."""
        return base_lr * (1 + self.gamma * steps) ** (-self.power)


def scaled_lr(lr: float, images_per_step: int, base_images_per_step: int = 16) -> float:
    """The learning rate for another number of images per step: lr * images / base.

    The reference configs state 0.01 for 16 images per step (8 cards of 2).
    """
    return lr * images_per_step / base_images_per_step
