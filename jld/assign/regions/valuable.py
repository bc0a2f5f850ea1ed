"""The valuable localization region: priors around an object that just missed being positive."""

from __future__ import annotations

from jld.assign.atss import atss_thresholds
from jld.assign.interfaces import RegionContext
from jld.boxes.places import on_grid
from jld.errors import ConfigError, one_of
from jld.ops.valuable_overlaps import valuable_overlaps
from jld.registry import REGIONS
from jld.toolchain import jittor as jt

GATES = ("iof", "diou")


@REGIONS.register(aliases=("vlr",))
class ValuableLocalizationRegion:
    """Priors whose DIoU with a box lies between gamma * t_g and t_g, weighted by their IoU with it (`vlr`).

    Args:
        gate: what is compared with the band. `iof`: intersection / prior area - squared relative centre
            distance, which the released code computes; `diou`: the paper's DIoU with the union as divisor.
            With `iof` an object larger than the priors of a fine level also gets a band of priors around its
            border.
        gamma: lower end of the band as a share of t_g.
        exclude_main: leave out positives, as the paper's text does and the released RetinaNet head.
        topk: candidates per level for t_g, where the assigner is not ATSS and brings none.
    Raises:
        ConfigError: unknown gate, or gamma outside [0, 1).
    Source: arXiv:2102.12252, section 3.3, algorithm 1; HikariTJU/LD, `get_vlr_region`.
    Differs: an image without objects gives zeros, where the released code stops.
    """

    num_sides = 4
    needs_grid = True

    def __init__(self, gate: str = "iof", gamma: float = 0.25, exclude_main: bool = False, topk: int = 9):
        one_of(gate, GATES, f"unknown gate {gate!r} of the valuable region")
        if not 0 <= gamma < 1:
            raise ConfigError(
                f"ValuableLocalizationRegion needs gamma in [0, 1), not {gamma}: 0.25 is published."
            )
        self.gate, self.gamma, self.exclude_main, self.topk = gate, gamma, exclude_main, topk

    def __call__(self, context: RegionContext) -> jt.Var:
        """[N, P] the highest IoU among the boxes whose band holds the prior."""
        thresholds = context.assignment.gt_thresholds
        if thresholds is None:
            thresholds = atss_thresholds(on_grid(context.places), context.targets, self.topk)
        weights = valuable_overlaps(
            context.places.boxes, context.targets.boxes, thresholds, context.valid_mask,
            gamma=self.gamma, of_prior=self.gate == "iof",
        )  # fmt: skip
        return weights * (1.0 - context.assignment.positive_mask) if self.exclude_main else weights
