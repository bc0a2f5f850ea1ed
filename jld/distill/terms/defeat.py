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


def decoupled_error(
    student_map: jt.Var,
    teacher_map: jt.Var,
    inside: jt.Var,
    valid: jt.Var,
    weights: tuple[float, float],
) -> jt.Var:
    """Scalar of one level: weights[0] E(inside) + weights[1] E(the rest), E as `masked_squared_error`.

    Args:
        student_map, teacher_map: [N, D, H, W] of one width.
        inside: [N, H, W] 0 or more; what is 0 in it is background.
        valid: [N, H, W] 1 where a cell may be background.
        weights: of objects and of background.
    """
    outside = valid * (inside == 0.0).float32()
    errors = (masked_squared_error(student_map, teacher_map, mask) for mask in (inside, outside))
    return sum(weight * error for weight, error in zip(weights, errors, strict=True))


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
        places, weights = on_grid(context.places), (self.object_weight, self.background_weight)
        errors = []
        for level, student, teacher in context.feature_levels():
            inside = (cell_weights(objects, places, level) > 0).float32()
            valid = (cell_weights(everything, places, level) > 0).float32()
            errors.append(decoupled_error(self.adapters(level, student), teacher, inside, valid, weights))
        return mean_of(errors)

    def describe(self) -> str:
        """See `Term`."""
        return (
            f"{self.name}: DeFeat(region={self.region}, weight={self.weight:g}, "
            f"object_weight={self.object_weight:g}, background_weight={self.background_weight:g})"
        )
