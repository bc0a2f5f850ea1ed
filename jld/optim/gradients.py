"""The gradients of a step: one backward pass per batch over everything that trains.

Who owns a parameter is none of this file's business: optimizers get the finished gradients by name, and clip
those of their own parameters.
"""

from __future__ import annotations

from collections.abc import Mapping

from jld.optim.loss_scale import LossScale
from jld.toolchain import jittor as jt
from jld.utils.distributed import average_gradients


class Gradients:
    """Adds up the gradients of the batches of one step.

    Args:
        loss_scale: multiplies losses before the backward pass, and is taken out of the gradients; or None.
    """

    def __init__(self, loss_scale: LossScale | None = None):
        self.loss_scale = loss_scale
        self._sums: dict[str, jt.Var] = {}

    def add(self, loss: jt.Var, params: Mapping[str, jt.Var]) -> None:
        """Adds the gradients of `loss` (a scalar); `params` {name: Var} are the same for a whole step."""
        variables = list(params.values())
        # A pending update left in the graph would be differentiated through.
        jt.sync(variables)
        if self.loss_scale is not None:
            loss = loss * self.loss_scale.scale
        grads = [grad.stop_grad() for grad in jt.grad(loss, variables)]
        if self._sums:
            grads = [(old + new).stop_grad() for old, new in zip(self._sums.values(), grads, strict=True)]
        self._sums = dict(zip(params, grads, strict=True))

    def take(self) -> dict[str, jt.Var]:
        """{name: gradient of the sum of the losses}; forgets them.

        Under `mpirun` they are averaged over all ranks, which must therefore all take the step.

        Raises:
            ValueError: nothing was added since the last step.
        """
        if not self._sums:
            raise ValueError("a step was asked for without a loss and without a backward call before it.")
        names, grads = list(self._sums), average_gradients(list(self._sums.values()))
        self._sums = {}
        if self.loss_scale is not None:
            # After the average, so that all ranks see the same and skip the same steps.
            grads = self.loss_scale.unscaled(grads)
        return dict(zip(names, grads, strict=True))
