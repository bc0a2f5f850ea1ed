"""What every distillation term is, and the weighting and naming its kinds share."""

from __future__ import annotations

from typing import Any

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


class Term:
    """One distillation loss: reads both traces, returns one scalar; may own adapters.

    Subclasses give `__call__(context)`, a scalar Var to which `weight` is not yet applied.

    Args:
        weight: factor of the scalar; a term of weight 0 is removed before training.
        name: key in the loss dict, must contain "loss".
    Attributes:
        regions: names of the regions the term asks the context for.
        requires: keys of `predictions` both models must offer, in equal shapes and for the same priors.
        reads_features: whether the neck's maps are read; then some strides must be shared.
        adapters: {level: module} that train with the student; `bind` makes them, when widths are known.
    Raises:
        ConfigError: a name without "loss".
    """

    regions: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    reads_features = False

    def __init__(self, weight: float, name: str):
        if "loss" not in name:
            raise ConfigError(
                f"{type(self).__name__}: name {name!r} must contain 'loss', or it is not added up."
            )
        self.weight = float(weight)
        self.name = name
        self.adapters: dict[int, Any] = {}

    def bind(self, student: Any, teacher: Any) -> list[str]:
        """Prepares the term for two detectors; what keeps them from being combined, one sentence each."""
        return [problem for key in self.requires for problem in shape_problems(self, key, student, teacher)]

    def parameters(self) -> list:
        """Parameters of the adapters: trained with the student, never saved with it."""
        return [parameter for adapter in self.adapters.values() for parameter in adapter.parameters()]

    def describe(self) -> str:
        """The term in one line, for the table printed before training."""
        return f"{self.name}: {type(self).__name__}(weight={self.weight:g})"


# What to do when a term reads a prediction that a model does not make.
CURES = {
    "box_logits": "use a head with reg_max (a box distribution), or a feature term",
    "cls_logits": "use a detector with a classification head",
}


def shape_problems(term: Any, key: str, student: Any, teacher: Any, axes: slice = slice(None)) -> list[str]:
    """Why `predictions[key]` of two detectors cannot be compared; empty where they can.

    Args:
        axes: which of the trailing axes per prior must agree.
    """
    shapes, problems = {}, []
    kind = type(term).__name__
    for role, detector in (("student", student), ("teacher", teacher)):
        shapes[role] = detector.bbox_head.prediction_shapes().get(key)
        if shapes[role] is None:
            head, cure = type(detector.bbox_head).__name__, CURES.get(key, "use another term")
            problems.append(f"{kind} needs {key}; the {role}'s {head} does not predict it: {cure}")
    if not problems and shapes["student"][axes] != shapes["teacher"][axes]:
        problems.append(
            f"{kind} compares {key}, but its shape per prior is {shapes['student']} for the student and "
            f"{shapes['teacher']} for the teacher: give both the same num_classes and reg_max"
        )
    return problems


class RegionTerm(Term):
    """A term that compares student and teacher per prior inside one region.

    Subclasses give `requires` and `divergence(context)`, [N, P] values.

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

    def __init__(
        self, region: str, weight: float, temperature: float, weighting: str, reduction: str, name: str | None
    ):
        if weighting not in WEIGHTINGS:
            raise ConfigError(f"unknown weighting {weighting!r}: {suggestion(weighting, WEIGHTINGS)}")
        super().__init__(weight, name or f"loss_{self.kind}" + ("" if region == "main" else f"_{region}"))
        self.region = region
        self.regions = (region,)
        self.temperature = float(check_temperature(temperature))
        self.weighting = weighting
        self.reduction = check_reduction(reduction)

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

    def describe(self) -> str:
        """See `Term`."""
        return (
            f"{self.name}: {type(self).__name__}(region={self.region}, weight={self.weight:g}, "
            f"temperature={self.temperature:g}, weighting={self.weighting}, reduction={self.reduction})"
        )
