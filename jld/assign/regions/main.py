"""The locations the student itself learns objects at."""

from __future__ import annotations

from jld.assign.interfaces import RegionContext
from jld.registry import REGIONS
from jld.toolchain import jittor as jt


@REGIONS.register(aliases=("main",))
class MainRegion:
    """The positives of the student's assigner (`main`).

    Source: arXiv:2102.12252, main distillation region.
    """

    def __call__(self, context: RegionContext) -> jt.Var:
        """[N, P] 1 for positives."""
        return context.assignment.positive_mask
