"""What every distillation term is, and the weighting and naming its kinds share."""

from __future__ import annotations

from jld.distill.context import StepContext
from jld.distill.reduction import check_reduction, reduce_over_region
from jld.errors import ConfigError, suggestion
from jld.losses.kl import check_temperature


def _uniform(context: StepContext, region_weights):
    return (region_weights > 0).float32()


def _iou(context: StepContext, region_weights):
    return region_weights


def _max_score(context: StepContext, region_weights):
    return (region_weights > 0).float32() * context.student_scores()


WEIGHTINGS = {"uniform": _uniform, "iou": _iou, "max_score": _max_score}


class RegionTerm:
    """A term that compares student and teacher per prior inside one region.

    Subclasses give `requires`, the keys of `predictions` both models must offer, and `divergence(context)`,
    [N, P] values.

    Args:
        region: name of the region.
        weight: factor of the scalar; a term of weight 0 is removed before training.
        temperature: softens both sides; 1 or more.
        weighting: per-prior weight inside the region: `uniform` 1, `iou` the region's own soft weight,
            `max_score` the student's highest class score.
        reduction: see `reduce_over_region`.
        name: key in the loss dict, must contain "loss"; by default made of the kind and the region.
    Raises:
        ConfigError: unknown weighting or reduction, temperature below 1, name without "loss".
    """

    kind = ""
    requires: tuple[str, ...] = ()

    def __init__(
        self, region: str, weight: float, temperature: float, weighting: str, reduction: str, name: str | None
    ):
        if weighting not in WEIGHTINGS:
            raise ConfigError(f"unknown weighting {weighting!r}: {suggestion(weighting, WEIGHTINGS)}")
        self.region = region
        self.weight = float(weight)
        self.temperature = float(check_temperature(temperature))
        self.weighting = weighting
        self.reduction = check_reduction(reduction)
        self.name = name or f"loss_{self.kind}" + ("" if region == "main" else f"_{region}")
        if "loss" not in self.name:
            raise ConfigError(
                f"{type(self).__name__}: name {name!r} must contain 'loss', or it is not added up."
            )

    def __call__(self, context: StepContext):
        """Scalar Var, `weight` not yet applied."""
        return self.reduce(context, context.region(self.region))

    def reduce(self, context: StepContext, region_weights):
        """Scalar Var of the divergence under [N, P] region weights."""
        weights = WEIGHTINGS[self.weighting](context, region_weights)
        mask = (region_weights > 0).float32()
        values = weights * self.divergence(context)
        return reduce_over_region(values, mask, context.priors, self.reduction)

    def divergence(self, context: StepContext):
        """[N, P] difference of teacher and student at every prior."""
        raise NotImplementedError

    def parameters(self) -> list:
        """Trainable parameters the term owns (adapters): trained with the student, never saved with it."""
        return []
