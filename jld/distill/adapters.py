"""Convolutions that bring the student's maps to the teacher's width: the one way in which terms adapt."""

from __future__ import annotations

from collections.abc import Iterable

from jld.errors import ConfigError, suggestion
from jld.models.layers import init_normal
from jld.ops.conv2d import Conv2d
from jld.toolchain import jittor as jt

KERNELS = {"1x1": 1, "3x3": 3}


class ConvAdapters:
    """A convolution per level, or one for all levels; trained with the student, never exported with it.

    Args:
        kernel: None, `1x1` or `3x3` (or the side, 1 or 3): None compares maps as they are.
        per_level: weights of their own for every level.
        std: spread of the initial weights, with bias 0; None: the layer's usual initial values.
        bias: False for a term to which the level of a channel does not matter.
    Raises:
        ConfigError: unknown kernel.
    """

    def __init__(
        self,
        kernel: str | int | None,
        *,
        per_level: bool = True,
        std: float | None = None,
        bias: bool = True,
    ):
        side = KERNELS.get(kernel, kernel) if isinstance(kernel, str) else kernel
        if side not in (None, *KERNELS.values()):
            raise ConfigError(f"unknown adapter {kernel!r}: {suggestion(str(kernel), KERNELS)}, or None.")
        self.side, self.per_level, self.std, self.bias = side, per_level, std, bias
        self.convs: dict[str, jt.Module] = {}

    def problems(self, owner: str, own: int, given: int) -> list[str]:
        """Why maps of `own` channels cannot be compared with maps of `given` ones; empty where they can."""
        if self.side is not None or own == given:
            return []
        return [f"{owner}: the student's maps have {own} channels, the teacher's {given}: add adapter='1x1'"]

    def make(self, levels: Iterable[int], own: int, given: int) -> None:
        """Makes the convolutions from `own` to `given` channels."""
        if self.side is None:
            return
        names = [f"adapter.{level}" for level in levels] if self.per_level else ["adapter"]
        self.convs = {
            name: Conv2d(own, given, self.side, padding=self.side // 2, bias=self.bias) for name in names
        }
        if self.std is not None:
            for conv in self.convs.values():
                init_normal(conv, self.std)

    def __call__(self, level: int, x: jt.Var) -> jt.Var:
        """[N, D_student, H, W] to [N, D_teacher, H, W] on one level of the student."""
        if self.side is None:
            return x
        return self.convs[f"adapter.{level}" if self.per_level else "adapter"](x)
