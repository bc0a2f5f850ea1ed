"""Locations inside the objects' boxes, and those inside none."""

from __future__ import annotations

from jld.assign.interfaces import RegionContext
from jld.boxes.distances import inset_distance
from jld.registry import REGIONS
from jld.toolchain import jittor as jt


@REGIONS.register(aliases=("inside_gt",))
class InsideGT:
    """Priors whose centre lies strictly inside any ground-truth box, on every level (`inside_gt`).

    Source: HikariTJU/LD, imitation method "fitnet"; foreground of arXiv:2103.14475 without its level rule.
    """

    num_sides = 4

    def __call__(self, context: RegionContext) -> jt.Var:
        """[N, P] 1 inside."""
        return _inside(context)


@REGIONS.register(aliases=("background",))
class Background:
    """Valid cells whose centre lies inside no ground-truth box (`background`).

    Source: arXiv:2103.14475 (DeFeat), without its level rule.
    """

    num_sides = 4

    def __call__(self, context: RegionContext) -> jt.Var:
        """[N, P] 1 outside all boxes."""
        return context.valid_mask * (1.0 - _inside(context))


def _inside(context: RegionContext) -> jt.Var:
    targets = context.targets
    inset = inset_distance(context.places.centers.unsqueeze(1), targets.boxes.unsqueeze(2))  # [N, G, P]
    hits = (inset > 0.0).float32() * targets.mask.unsqueeze(2)
    return hits.max(1) * context.valid_mask
