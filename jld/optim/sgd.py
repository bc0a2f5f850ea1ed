"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from jld.errors import ConfigError
from jld.optim.base import Optimizer, Slot
from jld.registry import OPTIMIZERS
from jld.toolchain import jittor as jt


@OPTIMIZERS.register
class SGD(Optimizer):
    """SGD with momentum, L2 weight decay and optional Nesterov step.

    d = grad + weight_decay * p;  v = momentum * v + (1 - dampening) * d, and v = d in the first step;
    p = p - lr * (d + momentum * v if nesterov else v).

    Args:
        momentum: 0 keeps no buffer.
        dampening: 0 for the usual heavy-ball form.
        nesterov: needs momentum > 0 and dampening = 0.
        (the others: see `Optimizer`)
    Raises:
        ConfigError: nesterov without momentum or with dampening.
    """

    def __init__(
        self,
        params: Mapping[str, jt.Var],
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        *,
        dampening: float = 0.0,
        nesterov: bool = False,
        grad_clip: dict | None = None,
        parameter_groups: Sequence[dict] | None = None,
    ):
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ConfigError("optimizer.nesterov needs momentum > 0 and dampening = 0.")
        self.momentum = float(momentum)
        self.dampening = float(dampening)
        self.nesterov = nesterov
        self.buffer_names = ("momentum",) if momentum else ()
        super().__init__(
            params, lr, weight_decay=weight_decay, grad_clip=grad_clip, parameter_groups=parameter_groups
        )

    def update(self, slot: Slot, grad: jt.Var) -> None:
        """See the class."""
        change = grad if slot.weight_decay == 0 else grad + slot.param * slot.weight_decay
        if self.momentum:
            velocity = slot.buffers["momentum"]
            damped = change if self.dampening == 0 else change * self._share(self.taken[slot.start])
            self.write(velocity, (velocity * self.momentum + damped).stop_grad())
            change = change + velocity * self.momentum if self.nesterov else velocity
        self.write(slot.param, slot.param - change * (self.lr * slot.lr_mult))

    def _share(self, taken: int | jt.Var) -> float | jt.Var:
        """What of a change enters the velocity: everything in the first update."""
        if isinstance(taken, int):
            return 1.0 if taken == 1 else 1 - self.dampening
        return 1 - self.dampening * (taken > 1).float32()
