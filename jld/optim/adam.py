"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from jld.optim.base import Optimizer, Slot
from jld.registry import OPTIMIZERS
from jld.toolchain import jittor as jt


@OPTIMIZERS.register
class Adam(Optimizer):
    """Adam with L2 weight decay.

    g = grad + weight_decay * p;  m = b0 * m + (1 - b0) * g;  v = b1 * v + (1 - b1) * g^2;
    p = p - lr / (1 - b0^t) * m / (sqrt(v / (1 - b1^t)) + eps).

    Args:
        eps: added after the bias correction.
        betas: decay of the first and the second moment.
        (the others: see `Optimizer`)
    Source: arXiv:1412.6980, algorithm 1.
    Differs: Jittor's Adam adds eps before the bias correction.
    """

    buffer_names = ("first_moment", "second_moment")

    def __init__(
        self,
        params: Mapping[str, jt.Var],
        lr: float = 1e-3,
        eps: float = 1e-8,
        betas: Sequence[float] = (0.9, 0.999),
        *,
        weight_decay: float = 0.0,
        grad_clip: dict | None = None,
        parameter_groups: Sequence[dict] | None = None,
    ):
        self.eps = float(eps)
        self.betas = (float(betas[0]), float(betas[1]))
        super().__init__(
            params, lr, weight_decay=weight_decay, grad_clip=grad_clip, parameter_groups=parameter_groups
        )

    def update(self, slot: Slot, grad: jt.Var) -> None:
        """See the class."""
        if slot.weight_decay:
            grad = grad + slot.param * slot.weight_decay
        self.write(slot.param, slot.param - self._direction(slot, grad) * (self.lr * slot.lr_mult))

    def _direction(self, slot: Slot, grad: jt.Var) -> jt.Var:
        first_decay, second_decay = self.betas
        first, second = slot.buffers["first_moment"], slot.buffers["second_moment"]
        self.write(first, (first * first_decay + grad * (1 - first_decay)).stop_grad())
        self.write(second, (second * second_decay + grad * grad * (1 - second_decay)).stop_grad())
        steps = self.taken[slot.start]
        first_correction, second_correction = (1 - decay**steps for decay in self.betas)
        root = math.sqrt(second_correction) if isinstance(steps, int) else jt.sqrt(second_correction)
        return first / (jt.sqrt(second) / root + self.eps) / first_correction


@OPTIMIZERS.register
class AdamW(Adam):
    """Adam with decoupled weight decay: p is multiplied by 1 - lr * weight_decay instead.

    Source: arXiv:1711.05101, algorithm 2.
    """

    def update(self, slot: Slot, grad: jt.Var) -> None:
        """See the class."""
        lr = self.lr * slot.lr_mult
        param = slot.param if slot.weight_decay == 0 else slot.param * (1 - lr * slot.weight_decay)
        self.write(slot.param, param - self._direction(slot, grad) * lr)
