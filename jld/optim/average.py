"""Exponential moving average of a model's weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from jld.errors import CheckpointError
from jld.toolchain import jittor as jt


class WeightAverage:
    """A slowly following copy of all floating-point state of a model, usually better than the last weights.

    average = d_t * average + (1 - d_t) * weights with d_t = decay * (1 - exp(-t / warmup_iters)), so that the
    average follows quickly while the weights still move fast. Running statistics are averaged like weights.

    Args:
        state: {name: Var} of the model, parameters and statistics; the Vars are read at every `update`.
        decay: d_t for late t.
        warmup_iters: t at which d_t has reached 63 % of `decay`; 0 switches the ramp off.
    """

    def __init__(self, state: Mapping[str, jt.Var], decay: float = 0.9998, warmup_iters: int = 2000):
        self.decay = decay
        self.warmup_iters = warmup_iters
        self.num_updates = 0
        self._state = {name: var for name, var in state.items() if "float" in str(var.dtype)}
        self._average = {name: var.clone().stop_grad() for name, var in self._state.items()}

    def current_decay(self) -> float:
        """d_t of the latest update."""
        if not self.warmup_iters:
            return self.decay
        return self.decay * (1 - math.exp(-self.num_updates / self.warmup_iters))

    def update(self) -> None:
        """Follows the model by one step."""
        self.num_updates += 1
        decay = self.current_decay()
        for name, average in self._average.items():
            average.update((average * decay + self._state[name].detach() * (1 - decay)).stop_grad())

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Puts the average into the model for the duration of a `with` block."""
        jt.sync_all()
        kept = {name: var.numpy() for name, var in self._state.items()}
        write_arrays(self._state, {name: var.numpy() for name, var in self._average.items()})
        try:
            yield
        finally:
            write_arrays(self._state, kept)

    def state_dict(self) -> dict:
        """{"num_updates", "state": {name: array}}."""
        return {
            "num_updates": self.num_updates,
            "state": {name: var.numpy() for name, var in self._average.items()},
        }

    def load_state_dict(self, state: Mapping) -> None:
        """Continues from `state_dict()`.

        Raises:
            CheckpointError: names differ from the model's.
        """
        missing = sorted(set(self._average) - set(state["state"]))
        if missing:
            raise CheckpointError(
                f"the checkpoint's weight average lacks {missing[0]!r} ({len(missing)} missing)."
            )
        self.num_updates = int(state["num_updates"])
        write_arrays(self._average, {name: state["state"][name] for name in self._average})


def write_arrays(target: Mapping[str, jt.Var], arrays: Mapping[str, np.ndarray]) -> None:
    """Copies arrays into the Vars of the same names; frozen ones stay frozen."""
    for name, array in arrays.items():
        var = target[name]
        frozen = var.is_stop_grad()
        var.assign(jt.array(array))
        # assign takes over the new Var's flags: a frozen parameter must stay frozen.
        if frozen:
            var.stop_grad()
