"""FGFI: imitation of the feature cells around objects, fine-grained feature imitation."""

from __future__ import annotations

from jld.boxes.places import on_grid
from jld.distill.adapters import ConvAdapters
from jld.distill.context import StepContext
from jld.distill.maps import (
    DIVISORS,
    cell_weights,
    masked_squared_error,
    mean_of,
)
from jld.distill.terms.base import RegionName, Term
from jld.errors import one_of
from jld.registry import TERMS
from jld.toolchain import jittor as jt


@TERMS.register
class FGFI(Term):
    """Fine-grained feature imitation: adapted student maps copy the teacher's where anchors fit objects.

    Per level l, with a 3x3 convolution A_l and the mask M of the region,
    L = mean over l of sum M (A_l(S_l) - T_l)^2 / max(1, 2 C sum M). Reads `features`.

    Args:
        weight: 3 for pyramids (released); with `divisor="cells"` the paper's lambda, 0.01.
        region: name of the region; a cell counts when any of its priors is in it.
        divisor: `values` as above; `cells` leaves C out, as the paper and its own code do.
        relu: a ReLU behind the adapter, as in the paper's own code; released for pyramids without.
        name: key in the loss dict.
    Raises:
        ConfigError: unknown divisor.
    Source: arXiv:1906.03609; twangnh/Distilling-Object-Detectors (one map) and
        ggjy/DeFeat.pytorch (pyramids, the default here).
    Differs: the weight is 0 in the first 400 steps there: `schedule=dict(start=400)`. Adapters start from
        N(0, 1e-4) without truncation.
    """

    reads_features = True

    def __init__(
        self,
        weight: float = 3.0,
        region: RegionName = "fine_grained_own_level",
        *,
        divisor: str = "values",
        relu: bool = False,
        name: str = "loss_fgfi",
    ):
        one_of(divisor, DIVISORS, f"FGFI: unknown divisor {divisor!r}")
        super().__init__(weight, name, adapters=ConvAdapters("3x3", std=1e-4))
        self.region, self.regions = region, (region,)
        self.divisor, self.relu = divisor, relu

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        weights = context.region(self.region)
        errors = []
        for level, student, teacher in context.feature_levels():
            adapted = self.adapters(level, student)
            mask = (cell_weights(weights, on_grid(context.places), level) > 0).float32()
            errors.append(
                masked_squared_error(
                    jt.nn.relu(adapted) if self.relu else adapted, teacher, mask, self.divisor
                )
            )
        return mean_of(errors)

    def describe(self) -> str:
        """See `Term`."""
        return f"{self.name}: FGFI(region={self.region}, weight={self.weight:g}, divisor={self.divisor})"
