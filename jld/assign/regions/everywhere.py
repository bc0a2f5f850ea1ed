"""Every location of an image."""

from __future__ import annotations

from jld.assign.interfaces import RegionContext
from jld.errors import ConfigError
from jld.registry import REGIONS
from jld.toolchain import jittor as jt


@REGIONS.register(aliases=("all",))
class All:
    """Every prior inside the image's own padded area (`all`).

    Args:
        padding: what becomes of cells that only pad an image to the size of its batch: `excluded`, or
            `included`, which several released imitation losses do by averaging whole maps.
    Raises:
        ConfigError: unknown `padding`.
    Source: arXiv:1412.6550 (FitNets), the whole-map row of feature imitation.
    """

    def __init__(self, padding: str = "excluded"):
        if padding not in ("excluded", "included"):
            raise ConfigError(f"All: padding is {padding!r}; use 'excluded' or 'included'.")
        self.padding = padding

    def __call__(self, context: RegionContext) -> jt.Var:
        """[N, P] 1 for valid cells, or for all."""
        return context.valid_mask if self.padding == "excluded" else jt.ones_like(context.valid_mask)
