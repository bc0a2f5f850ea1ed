"""The losses of the steps since the last log line, and the stop when one of them is not finite.

Losses stay on the device until they are asked for, so a step needs no transfer to the host.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jld.errors import TrainingError
from jld.runner.ranks import sum_over_ranks
from jld.toolchain import jittor as jt
from jld.utils.distributed import world_size


def sum_up(losses: Mapping[str, jt.Var | Sequence[jt.Var]]) -> dict[str, jt.Var]:
    """Each loss as one scalar Var: lists (one entry per level) are summed."""
    return {name: sum(value) if isinstance(value, list | tuple) else value for name, value in losses.items()}


def total_loss(losses: Mapping[str, jt.Var]) -> jt.Var:
    """The sum of all losses.

    Raises:
        TrainingError: there is none.
    """
    if not losses:
        raise TrainingError("the detector returned no loss.")
    first, *others = losses.values()
    return sum(others, first)


@dataclass
class StepRecord:
    """What is kept of one step.

    Attributes:
        iteration: number of the step, 1 for the first.
        values: {loss name: scalar Var, or float once fetched}.
        files: images of the step, for the message of a stop.
    """

    iteration: int
    values: dict[str, jt.Var | float]
    files: list[str] = field(default_factory=list)

    @property
    def is_fetched(self) -> bool:
        """Whether the values are on the host."""
        return all(isinstance(value, float) for value in self.values.values())


class LossHistory:
    """Losses of recent steps.

    Args:
        where: what a stop names as the origin of the settings, such as the path of the saved config.
    """

    def __init__(self, where: str = ""):
        self.where = where
        self.records: list[StepRecord] = []

    def add(self, iteration: int, values: Mapping[str, jt.Var], files: Sequence[str]) -> None:
        """Remembers one step; `values` are scalar Vars without gradient."""
        self.records.append(StepRecord(iteration, dict(values), list(files)))

    def fetch(self) -> None:
        """Brings all values to the host; under `mpirun` they become the means over the ranks.

        Every rank must call this after the same steps. A loss that is not finite on one then is so on all,
        and each names its own images.

        Raises:
            TrainingError: a loss is not finite; names the step, all losses, the images and the config.
        """
        fresh = [record for record in self.records if not record.is_fetched]
        for record in fresh:
            record.values = {name: _to_float(value) for name, value in record.values.items()}
        if fresh and world_size() > 1:
            _average(fresh)
        for record in self.records:
            if not all(map(math.isfinite, record.values.values())):
                raise TrainingError(self._message(record))

    def means(self) -> dict[str, float]:
        """{name: mean over the recorded steps}; forgets them. Call `fetch` first."""
        names = dict.fromkeys(name for record in self.records for name in record.values)
        columns = {name: [r.values[name] for r in self.records if name in r.values] for name in names}
        self.records = []
        return {name: float(np.mean(column)) for name, column in columns.items()}

    def state_dict(self) -> list[dict[str, Any]]:
        """Plain data.

        Raises:
            TrainingError: see `fetch`.
        """
        self.fetch()
        return [vars(record).copy() for record in self.records]

    def load_state_dict(self, state: Sequence[Mapping[str, Any]]) -> None:
        """Continues an interval that a checkpoint cut in two."""
        self.records = [StepRecord(**record) for record in state]

    def _message(self, record: StepRecord) -> str:
        losses = ", ".join(f"{name}={value:g}" for name, value in record.values.items())
        origin = f" The settings are in {self.where}." if self.where else ""
        return (
            f"training stopped: a loss of iteration {record.iteration} is not finite ({losses}). "
            f"Images of that step: {', '.join(record.files) or 'unknown'}.{origin} "
            "Look at these images and their boxes, lower optimizer.lr, lengthen the warm-up "
            "or set optimizer.grad_clip."
        )


def _average(records: Sequence[StepRecord]) -> None:
    values = np.array([value for record in records for value in record.values.values()], np.float32)
    means = iter((sum_over_ranks(values) / world_size()).tolist())
    for record in records:
        record.values = {name: next(means) for name in record.values}


def _to_float(value: jt.Var | float) -> float:
    return value if isinstance(value, float) else float(value.numpy().reshape(-1)[0])
