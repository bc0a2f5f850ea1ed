"""DeFeat: imitation of objects and of background, each with a weight of its own."""

from __future__ import annotations

from jld.boxes.places import on_grid
from jld.distill.adapters import ConvAdapters
from jld.distill.context import StepContext
from jld.distill.maps import (
    cell_weights,
    masked_squared_error,
    mean_of,
)
from jld.distill.terms.base import RegionName, Term
from jld.registry import TERMS
from jld.toolchain import jittor as jt


@TERMS.register
class DeFeat(Term):
    """Decoupled features: adapted student maps copy the teacher's, apart inside and outside of objects.

    Per level l, with a 3x3 convolution A_l, the objects' mask M and E(M) = sum M (A_l(S_l) - T_l)^2 /
    max(1, 2 C sum M), L = mean over l of object_weight E(M) + background_weight E(1 - M). Both E are means,
    so a single background cell weighs far less although its factor is the larger one. Reads `features`.

    Args:
        weight: factor of the whole term.
        object_weight, background_weight: 3 and 12 in the released VOC recipe.
        region: the objects' places; a cell counts when any of its priors is in it.
        everything: the region whose rest is background; `all` leaves out the padding of the batch, which the
            released code counts: `regions=dict(all=dict(type="All", padding="included"))`.
        name: key in the loss dict.
    Source: arXiv:2103.14475; ggjy/DeFeat.pytorch, whose classification part is
        `ClassificationKD` on `main` and on `background` for a dense head.
    Differs: adapters start from N(0, 1e-4) without truncation.
    """

    reads_features = True

    def __init__(
        self,
        weight: float = 1.0,
        object_weight: float = 3.0,
        background_weight: float = 12.0,
        *,
        region: RegionName = "inside_own_level",
        everything: RegionName = "all",
        name: str = "loss_defeat",
    ):
        super().__init__(weight, name, adapters=ConvAdapters("3x3", std=1e-4))
        self.object_weight, self.background_weight = object_weight, background_weight
        self.region, self.everything = region, everything
        self.regions = (region, everything)

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        objects, everything = context.region(self.region), context.region(self.everything)
        places = on_grid(context.places)
        errors = []
        for level, student, teacher in context.feature_levels():
            adapted = self.adapters(level, student)
            inside = (cell_weights(objects, places, level) > 0).float32()
            outside = (cell_weights(everything, places, level) > 0).float32() * (1.0 - inside)
            errors.append(
                self.object_weight * masked_squared_error(adapted, teacher, inside)
                + self.background_weight * masked_squared_error(adapted, teacher, outside)
            )
        return mean_of(errors)

    def describe(self) -> str:
        """See `Term`."""
        return (
            f"{self.name}: DeFeat(region={self.region}, weight={self.weight:g}, "
            f"object_weight={self.object_weight:g}, background_weight={self.background_weight:g})"
        )
