"""Ends a training that does not get better any more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jld.errors import ConfigError
from jld.registry import HOOKS
from jld.runner.hooks import EvaluationHook, Hook
from jld.utils.logging import get_logger

if TYPE_CHECKING:
    from jld.runner.loop import TrainingLoop


@HOOKS.register
class EarlyStopping(Hook):
    """Ends the training after some evaluations in a row without a better `best_metric`.

    The schedule of the learning rate does not know of it: a run that ends before its last milestone lacks
    what that milestone would have brought.

    Args:
        patience: evaluations without improvement that end it, at least 1.
        min_delta: how much more than the best so far counts as better, in the metric's own unit (AP is a
            fraction: 0.001 is 0.1 in the tables).
    Raises:
        ConfigError: a patience below 1 or a negative min_delta; at the start, a run that is not evaluated.
    """

    def __init__(self, patience: int = 5, min_delta: float = 0.0):
        if patience < 1 or min_delta < 0:
            raise ConfigError(
                f"EarlyStopping needs patience >= 1 and min_delta >= 0, got {patience} and {min_delta}."
            )
        self.patience, self.min_delta = patience, min_delta
        self._best: dict[str, Any] = {}
        self._seen = -1
        self._count = 0

    @property
    def is_done(self) -> bool:
        """See `Hook`."""
        return self._count >= self.patience

    def before_training(self, loop: TrainingLoop) -> None:
        """See `Hook`."""
        if not any(isinstance(hook, EvaluationHook) and hook.interval for hook in loop.hooks):
            raise ConfigError(
                "EarlyStopping needs evaluations within the training: set dataset.val and eval_interval."
            )

    def after_epoch(self, loop: TrainingLoop) -> None:
        """See `Hook`; looks at each evaluation once, also where the end of an epoch is repeated."""
        if loop.metrics_iteration != loop.iteration or loop.iteration <= self._seen:
            return
        self._seen, name = loop.iteration, loop.best["name"]
        value = float(loop.metrics[name])
        if self._best.get("name") != name or value > self._best["value"] + self.min_delta:
            self._best, self._count = {"name": name, "value": value, "iteration": loop.iteration}, 0
            return
        self._count += 1
        if self.is_done:
            text = "%s was %.4f at iteration %d and not better in %d evaluations: the training ends early."
            get_logger("run").info(text, name, self._best["value"], self._best["iteration"], self._count)

    def state_dict(self) -> dict[str, Any]:
        """See `Hook`."""
        return {"best": dict(self._best), "seen": self._seen, "count": self._count}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """See `Hook`."""
        self._best, self._seen, self._count = dict(state["best"]), int(state["seen"]), int(state["count"])
