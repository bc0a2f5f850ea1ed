"""The valuable localization region of detectors that learn points instead of anchors."""

from __future__ import annotations

from jld.assign.interfaces import RegionContext
from jld.boxes.distances import inset_distance
from jld.registry import REGIONS
from jld.toolchain import jittor as jt


@REGIONS.register(aliases=("fcos_vlr",))
class FCOSValuableRegion:
    """Points inside an object, on every level, that are not positive (`fcos_vlr`).

    Points have no overlap with an object that could be compared with a threshold; with centre sampling and
    ranges per level most points inside an object are negatives, and there the teacher still knows its sides.

    Source: HikariTJU/LD, `_get_target_single` of its LDFCOSHead; arXiv:2204.05957.
    """

    num_sides = 4

    def __call__(self, context: RegionContext) -> jt.Var:
        """[N, P] 1 inside the region."""
        boxes, mask = context.targets.boxes.unsqueeze(2), context.targets.mask.unsqueeze(2)
        inset = inset_distance(context.places.centers.unsqueeze(1), boxes)  # [N, G, P]
        inside = ((inset > 0.0).float32() * mask).max(1)  # [N, P]
        return inside * (1.0 - context.assignment.positive_mask) * context.valid_mask
