"""The valuable localization region: priors around an object that just missed being positive."""

from __future__ import annotations

from jld.assign.atss import atss_thresholds
from jld.boxes.overlaps import aligned_overlaps
from jld.errors import ConfigError, suggestion
from jld.registry import REGIONS

GATES = {"iof": "iof_diou", "diou": "diou"}


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

    def __init__(self, gate: str = "iof", gamma: float = 0.25, exclude_main: bool = False, topk: int = 9):
        if gate not in GATES:
            raise ConfigError(f"unknown gate {gate!r} of the valuable region: {suggestion(gate, GATES)}")
        if not 0 <= gamma < 1:
            raise ConfigError(
                f"ValuableLocalizationRegion needs gamma in [0, 1), not {gamma}: 0.25 is published."
            )
        self.gate, self.gamma, self.exclude_main, self.topk = gate, gamma, exclude_main, topk

    def __call__(self, context):
        """[N, P] the highest IoU among the boxes whose band holds the prior."""
        thresholds = context.assignment.gt_thresholds
        if thresholds is None:
            thresholds = atss_thresholds(context.priors, context.targets, self.topk)
        upper = thresholds.unsqueeze(2)  # [N, G, 1], out of reach in empty slots
        boxes = context.targets.boxes.unsqueeze(2)
        gate = aligned_overlaps(context.priors.boxes, boxes, GATES[self.gate])  # [N, G, P]
        in_band = (gate >= self.gamma * upper).logical_and(gate < upper)
        # Boxes on axis 1, priors innermost: the maximum then vectorises and nothing of size G * P is stored.
        weights = (aligned_overlaps(context.priors.boxes, boxes) * in_band).max(1) * context.valid_mask
        return weights * (1.0 - context.assignment.positive_mask) if self.exclude_main else weights
