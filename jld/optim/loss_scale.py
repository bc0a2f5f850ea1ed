"""A factor on the loss under which gradients in half precision neither vanish nor overflow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from jld.ops.finite import has_not_finite
from jld.toolchain import jittor as jt

# Of float32; beyond it lies infinity.
LARGEST = float(np.finfo(np.float32).max)


class LossScale:
    """Finds the factor while training: halved when a gradient overflows, doubled after a long time without.

    The loss is multiplied by it before the backward pass and the gradients are divided by it afterwards, so
    that small ones do not fall below the least number that float16 has. A step whose gradients are not all
    finite is skipped as a whole. Nothing of this is read by the host: a skipped step writes the old values.

    Args:
        initial: the factor of the first step.
        growth: factor on it after `interval` steps in a row with finite gradients.
        backoff: factor on it after a step without.
        interval: see `growth`.
    Attributes:
        scale: [1], the current factor.
        good_steps: [1], steps since it was changed.
        skipped: [1], steps skipped so far.
    Source: arXiv:1710.03740, section 3.2; constants and rules of torch.amp.GradScaler.
    """

    def __init__(
        self, initial: float = 65536.0, growth: float = 2.0, backoff: float = 0.5, interval: int = 2000
    ):
        self.growth, self.backoff, self.interval = growth, backoff, interval
        self._is_finite: jt.Var | None = None
        self._set(initial, 0, 0)

    def _set(self, scale: float, good_steps: float, skipped: float) -> None:
        self.scale, self.good_steps, self.skipped = (
            jt.array([float(value)]).stop_grad() for value in (scale, good_steps, skipped)
        )

    @property
    def is_finite(self) -> jt.Var:
        """[1] bool, whether the gradients seen last are finite.

        Raises:
            ValueError: none was seen yet.
        """
        if self._is_finite is None:
            raise ValueError("a loss scale knows nothing of gradients before `unscaled`.")
        return self._is_finite

    def unscaled(self, grads: Sequence[jt.Var]) -> list[jt.Var]:
        """The gradients of the loss itself; whether all of them are finite decides on the next step's factor.

        Args:
            grads: of the loss times `scale`, of any shapes, the same on all ranks.
        """
        self._is_finite = jt.concat([has_not_finite(grad) for grad in grads]).sum() == 0
        factor = 1 / self.scale
        self._follow(self._is_finite)
        return [grad * factor.broadcast(grad.shape) for grad in grads]

    def _follow(self, finite: jt.Var) -> None:
        good_steps = jt.ternary(finite, self.good_steps + 1, self.good_steps * 0)
        grows = good_steps == self.interval
        has_room = self.scale <= LARGEST / self.growth
        grown = jt.ternary(grows & has_room, self.scale * self.growth, self.scale)
        self.scale = jt.ternary(finite, grown, self.scale * self.backoff).stop_grad()
        self.good_steps = jt.ternary(grows, good_steps * 0, good_steps).stop_grad()
        self.skipped = jt.ternary(finite, self.skipped, self.skipped + 1).stop_grad()

    def kept(self, new: jt.Var, old: jt.Var) -> jt.Var:
        """`new` where the gradients are finite, else `old`; both of one shape."""
        return jt.ternary(self.is_finite.broadcast(new.shape), new, old)

    def log_values(self) -> dict[str, jt.Var]:
        """{"loss_scale", "skipped_steps"}: scalar Vars."""
        return {"loss_scale": self.scale, "skipped_steps": self.skipped}

    def state_dict(self) -> dict[str, float]:
        """Plain data from which `load_state_dict` continues exactly."""
        return {name: float(getattr(self, name).item()) for name in ("scale", "good_steps", "skipped")}

    def load_state_dict(self, state: Mapping[str, float]) -> None:
        """Continues from `state_dict()`."""
        self._set(**state)
