"""The locations the student itself learns objects at."""

from __future__ import annotations

from jld.registry import REGIONS


@REGIONS.register(aliases=("main",))
class MainRegion:
    """The positives of the student's assigner (`main`).

    Source: arXiv:2102.12252, main distillation region.
    """

    def __call__(self, context):
        """[N, P] 1 for positives."""
        return context.assignment.positive_mask
