"""When a distillation term acts, and how strongly: a factor of its weight that follows the training step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal

from jld.config.lengths import is_share
from jld.errors import ConfigError, one_of
from jld.registry import TERM_SCHEDULES, build

Decay = Literal["constant", "linear", "cosine"]
DECAYS: dict[Decay, Callable[[float], float]] = {
    "constant": lambda share: 1.0,
    "linear": lambda share: 1.0 - share,
    "cosine": lambda share: 0.5 * (1.0 + math.cos(math.pi * share)),
}


@TERM_SCHEDULES.register
class TermSchedule:
    """A factor between 0 and 1 for every step of a training.

    Steps may be shares of the training, numbers with a decimal point below 1; the runner makes steps of them
    (`jld.config.lengths.in_steps`).

    Args:
        start: first step the term acts in, counted from 0.
        stop: first step it no longer acts in; None is never.
        warmup: steps over which the factor rises in a line from 1 / (warmup + 1) to 1.
        decay: what the factor does from the end of the warm-up to `stop`: `constant`, `linear` or `cosine`,
            the latter two down to 0.
    Raises:
        ConfigError: a negative number of steps, unknown decay, a decay without an end, or no step between
            start and stop; a number with a decimal point that is no share.
    """

    def __init__(
        self, start: float = 0, stop: float | None = None, warmup: float = 0, decay: Decay = "constant"
    ):
        for name, steps in (("start", start), ("stop", stop or 0), ("warmup", warmup)):
            if steps < 0:
                raise ConfigError(f"a term's schedule has {name}={steps}: it must be at least 0.")
            if isinstance(steps, float) and not is_share(steps):
                raise ConfigError(
                    f"a term's schedule has {name}={steps}: steps are whole, "
                    "and a share of the training is below 1."
                )
        one_of(decay, DECAYS, f"unknown decay {decay!r} of a term's schedule")
        if stop is None and decay != "constant":
            raise ConfigError(f"a {decay} decay must know where it ends: give the schedule a `stop`.")
        has_shares = any(map(is_share, (start, stop or 0, warmup)))
        if stop is not None and not has_shares and stop <= start + warmup:
            raise ConfigError(
                f"a term's schedule starts at {start}, warms up for {warmup} steps and stops at {stop}: "
                "`stop` must lie behind start + warmup."
            )
        self.start, self.stop, self.warmup, self.decay = start, stop, warmup, decay

    @classmethod
    def from_config(cls, section: Mapping[str, Any] | None) -> TermSchedule:
        """The schedule of a term's `schedule` section; None acts always and fully."""
        return cls() if section is None else build({"type": cls.__name__, **section}, path="schedule")

    def follow(self, total_steps: int, steps_per_epoch: int) -> None:
        """Learns how long the training is; called before its first step."""

    def factor(self, step: int) -> float:
        """Factor of the term's weight in the step (from 0); 0 where the term does not act.

        Raises:
            ValueError: it depends on the length of the training, which is not known here.
        """
        if any(map(is_share, (self.start, self.stop or 0, self.warmup))):
            raise ValueError("this schedule has shares of the training: make steps of them with in_steps.")
        if step < self.start or (self.stop is not None and step >= self.stop):
            return 0.0
        passed = step - self.start
        if passed < self.warmup:
            return (passed + 1) / (self.warmup + 1)
        if self.stop is None:
            return 1.0
        length = self.stop - self.start - self.warmup
        return DECAYS[self.decay]((passed - self.warmup) / length)

    def describe(self) -> str:
        """The settings that differ from "always and fully", as text; empty where none does."""
        usual = TermSchedule()
        changed = {key: value for key, value in vars(self).items() if value != getattr(usual, key)}
        return ", ".join(f"{key}={value}" for key, value in changed.items())


@TERM_SCHEDULES.register
class EpochDecay(TermSchedule):
    """1 - epoch / epochs, equal within an epoch: 1 in the first and 1 / epochs in the last.

    Args:
        epochs: None: those of the training, so that a shorter one has the same mean.
    Raises:
        ConfigError: no epoch.
    Source: the attenuation of arXiv:2210.09022, as in hikvision-research/DAVAR-Lab-ML.
    """

    def __init__(self, epochs: int | None = None):
        super().__init__()
        if epochs is not None and epochs < 1:
            raise ConfigError(f"EpochDecay has epochs={epochs}: it must be 1 or more.")
        self.epochs = epochs
        self._steps_per_epoch: int | None = None
        self._length = epochs

    def follow(self, total_steps: int, steps_per_epoch: int) -> None:
        """See `TermSchedule`."""
        self._steps_per_epoch = steps_per_epoch
        self._length = self.epochs or -(-total_steps // steps_per_epoch)

    def factor(self, step: int) -> float:
        """See `TermSchedule`.

        Raises:
            ValueError: nobody has said how long an epoch is.
        """
        if self._steps_per_epoch is None or self._length is None:
            raise ValueError("EpochDecay must be told how long the training is: call `follow` before.")
        return max(0.0, 1.0 - step // self._steps_per_epoch / self._length)

    def describe(self) -> str:
        """See `TermSchedule`."""
        return "epoch decay" if self.epochs is None else f"epoch decay, epochs={self.epochs}"
