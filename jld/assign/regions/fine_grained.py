"""Locations whose anchors overlap an object nearly as well as its best anchor does."""

from __future__ import annotations

from jld.assign.interfaces import RegionContext
from jld.boxes.overlaps import aligned_overlaps
from jld.errors import ConfigError
from jld.registry import REGIONS
from jld.toolchain import jittor as jt


@REGIONS.register(aliases=("fine_grained",))
class FineGrained:
    """Priors whose IoU with a box exceeds a share of the best IoU any prior reaches with it (`fine_grained`).

    Args:
        threshold: that share, in (0, 1).
    Raises:
        ConfigError: threshold outside (0, 1).
    Source: arXiv:1906.03609, section 3.2; the best IoU is taken over all levels together, as in HikariTJU/LD.
    """

    num_sides = 4

    def __init__(self, threshold: float = 0.5):
        if not 0 < threshold < 1:
            raise ConfigError(
                f"{type(self).__name__} needs a threshold between 0 and 1, not {threshold}: 0.5 is published."
            )
        self.threshold = threshold

    def usable(self, context: RegionContext) -> jt.Var:
        """[N, 1 or G, P] 1 where a prior may be compared with an object."""
        return context.valid_mask.unsqueeze(1)

    def __call__(self, context: RegionContext) -> jt.Var:
        """[N, P] 1 where any box accepts the prior."""
        usable = self.usable(context)
        best = (_overlaps(context) * usable).max(2)  # [N, G]
        # The IoU is computed again on purpose: [N, G, P] is then never stored, each pass is one fused kernel.
        accepted = _overlaps(context) * usable > self.threshold * best.unsqueeze(2)
        return (accepted.float32() * context.targets.mask.unsqueeze(2)).max(1)


def _overlaps(context: RegionContext) -> jt.Var:
    return aligned_overlaps(
        context.places.boxes.unsqueeze(1), context.targets.boxes.unsqueeze(2)
    )  # [N, G, P]
