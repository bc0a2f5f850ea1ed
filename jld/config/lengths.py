"""Lengths of a training: one number that shortens it, and what begins or ends at a share of it.

A `start`, `stop` or `warmup` of a term and the `start` of a parameter group is a number of steps, or a share
of the training: a number with a decimal point, below 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jld.config.config import Config
from jld.config.schema import named_sections
from jld.errors import ConfigError

KEY = "schedule_factor"
# Settings of a term's schedule that count steps.
TERM_STEPS = ("start", "stop", "warmup")
# Where a schedule turns, in epochs or in steps.
TURNS = ("milestones", "max_steps")


def scaled_lengths(config: Config) -> Config:
    """The config with `schedule_factor` multiplied into its lengths, and the factor back at 1.

    These are `max_epoch`, `max_iter` and `checkpoint_iters`; a scheduler's `milestones`, `max_steps` and
    `warmup_iters`; the `start` of parameter groups; `start`, `stop` and `warmup` of terms, unless they are
    shares, and the `epochs` of their decay. Steps are rounded up, epochs must stay whole.

    Args:
        config: valid, with its defaults; it is changed.
    Raises:
        ConfigError: the factor is not above 0, or a number of epochs would not be whole.
    """
    factor = float(config[KEY])
    if factor <= 0:
        raise ConfigError(f"{KEY} is {factor}: it must be above 0; 0.5 halves the training.")
    if factor == 1:
        return config
    config[KEY] = 1.0

    def steps(value: float) -> float:
        return value if is_share(value) else _rounded_up(value * factor)

    def epochs(value: float) -> float:
        scaled = round(value * factor, 6)
        if not scaled.is_integer():
            raise ConfigError(
                f"{KEY}={factor} makes {scaled:g} of {value} epochs: choose a factor that keeps epochs whole."
            )
        return int(scaled)

    _scale(config, ("max_epoch",), epochs)
    _scale(config, ("max_iter", "checkpoint_iters"), steps)
    for section in _sections(config, "scheduler"):
        by_epoch = section.get("by_epoch")
        in_epochs = config["max_iter"] is None if by_epoch is None else by_epoch
        _scale(section, TURNS, epochs if in_epochs else steps)
        _scale(section, ("warmup_iters",), steps)
    _scale_starts(config, steps)
    for term in _terms(config):
        _scale(term.get("schedule") or {}, ("epochs",), epochs)
    return config


def in_steps(config: Config, total_steps: int) -> Config:
    """A copy of the config in which shares of the training are steps of it, rounded up.

    Args:
        config: complete.
        total_steps: of the whole training.
    """
    found = Config(config)

    def steps(value: float) -> float:
        return _rounded_up(value * total_steps) if is_share(value) else value

    _scale_starts(found, steps)
    return found


def begun_at_once(config: Config) -> Config:
    """A copy of the config in which whatever begins at a step does so in the second, warmed up in one.

    So that a training of a few steps shows every phase but the last; shares follow its length anyway.
    """
    found = Config(config)
    _scale_starts(found, lambda value: value if is_share(value) else min(value, 1), ("start", "warmup"))
    return found


def is_share(value: float) -> bool:
    """Whether a number of steps is a share of the training: 0.0 to 1.0, without the latter, never an int."""
    return isinstance(value, float) and 0.0 <= value < 1.0


def _rounded_up(value: float) -> int:
    return math.ceil(round(value, 6))  # rounded first: 3 * 0.1 is not quite 0.3


def _scale_starts(
    config: Config, scaled: Callable[[float], float], keys: tuple[str, ...] = TERM_STEPS
) -> None:
    for section in _sections(config, "optimizer"):
        for group in section.get("parameter_groups") or ():
            _scale(group, ("start",), scaled)
    for term in _terms(config):
        _scale(term.get("schedule") or {}, keys, scaled)


def _terms(config: Config) -> Sequence[Any]:
    return (config["distill"] or {}).get("terms") or ()


def _sections(config: Config, name: str) -> list[Mapping[str, Any]]:
    section = config[name]
    return [] if section is None else list(named_sections(name, section).values())


def _scale(section: Any, keys: tuple[str, ...], scaled: Callable[[float], float]) -> None:
    for key in keys:
        value = section.get(key)
        if value is not None:
            section[key] = (
                [scaled(each) for each in value] if isinstance(value, list | tuple) else scaled(value)
            )
