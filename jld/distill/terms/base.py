"""What every distillation term is, and the weighting and naming its kinds share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

from jld.assign.interfaces import Region
from jld.distill.adapters import ConvAdapters
from jld.distill.context import StepContext
from jld.distill.maps import checked_levels, shared_levels
from jld.distill.reduction import check_reduction, reduce_over_region
from jld.errors import ConfigError, one_of
from jld.losses.kl import check_temperature
from jld.models.interface import Interface
from jld.registry import REGIONS
from jld.toolchain import jittor as jt


def _uniform(context: StepContext, region_weights: jt.Var) -> jt.Var:
    return (region_weights > 0).float32()


def _iou(context: StepContext, region_weights: jt.Var) -> jt.Var:
    return region_weights


def _max_score(context: StepContext, region_weights: jt.Var) -> jt.Var:
    return (region_weights > 0).float32() * context.student_scores()


WEIGHTINGS: dict[str, Callable[[StepContext, jt.Var], jt.Var]] = {
    "uniform": _uniform,
    "iou": _iou,
    "max_score": _max_score,
}
# A region of the registry, or one that the config defines itself.
RegionName = Annotated[str, REGIONS]


class Term:
    """One distillation loss: reads both traces, returns one scalar; may own modules and state.

    Subclasses give `__call__(context)`, a scalar Var to which `weight` is not yet applied.

    Args:
        weight: factor of the scalar; a term of weight 0 is removed before training.
        name: key in the loss dict, must contain "loss".
        stage: the stage whose predictions and places are read; None: the first of each model, in two-stage
            detectors `rpn`.
        adapters: brings the student's maps to the teacher's width; made by `bind`, used by `__call__`.
        levels: numbers of the student's levels whose maps are read, 0 is the finest; None: all.
    Attributes:
        regions: names of the regions the term asks the context for.
        requires: keys of `predictions` both models must offer, in equal shapes and for the same places.
        needs_grid: whether predictions are read as maps, so that the stage cannot be one of RoIs.
        reads_features: whether the neck's maps are read; then some strides must be shared.
        hidden_depth: after how many layers both heads' towers are read (`Stage.hidden`); None: not at all.
        off: what happens in steps that the term's schedule leaves out: `skip` it, or `detach_student`: its
            own modules go on learning at full weight, and the student gets no signal.
    Raises:
        ConfigError: a name without "loss", or no level.
    """

    regions: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    needs_grid = False
    reads_features = False
    hidden_depth: int | None = None
    off = "skip"

    def __init__(
        self,
        weight: float,
        name: str,
        *,
        stage: str | None = None,
        adapters: ConvAdapters | None = None,
        levels: Sequence[int] | None = None,
    ):
        if "loss" not in name:
            raise ConfigError(
                f"{type(self).__name__}: name {name!r} must contain 'loss', or it is not added up."
            )
        self.weight = float(weight)
        self.name = name
        self.stage = stage
        self.adapters = adapters or ConvAdapters(None)
        self._adapts = adapters is not None
        self.levels = checked_levels(type(self).__name__, levels)

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        raise NotImplementedError

    def check(self, student: Interface, teacher: Interface) -> list[str]:
        """What keeps the term from being used between two detectors, one sentence each; changes nothing."""
        kind = type(self).__name__
        problems = [
            text
            for key in self.requires
            for text in shape_problems(self, key, student, teacher, stage=self.stage)
        ]
        if self._adapts:
            problems += self.adapters.problems(kind, student.channels, teacher.channels)
        pairs = self.partnered(student, teacher)
        there = ", ".join(map(str, pairs)) or "none"
        beyond = [level for level in self.levels or () if level not in pairs]
        return problems + [
            f"{kind}: the teacher has no map for level {level}, only for {there}" for level in beyond[:1]
        ]

    def partnered(self, student: Interface, teacher: Interface) -> list[int]:
        """The student's levels whose maps have a partner at the teacher."""
        return shared_levels(student, teacher)

    def read_levels(self, student: Interface, teacher: Interface) -> list[int]:
        """Those of them that the term reads."""
        return [level for level in self.partnered(student, teacher) if level in (self.levels or [level])]

    def bind(self, student: Interface, teacher: Interface) -> None:
        """Makes what depends on the two detectors, such as adapters; called once, after `check`."""
        if self._adapts:
            self.adapters.make(self.read_levels(student, teacher), student.channels, teacher.channels)

    def missing(self) -> str:
        """What the term still lacks when training is about to begin, in one sentence; empty: nothing."""
        return ""

    def modules(self) -> Mapping[str, jt.Module]:
        """{name: module}: trained with the student, saved with the run (buffers too), never exported."""
        return self.adapters.convs

    def describe(self) -> str:
        """The term in one line, for the table printed before training."""
        return f"{self.name}: {type(self).__name__}(weight={self.weight:g})"


def softmax_problems(term: Term, student: Interface, teacher: Interface) -> list[str]:
    """Why a term that reads every class score as a sigmoid cannot be used; empty where it can."""
    sides = {"student": student.stage(term.stage), "teacher": teacher.stage(term.stage)}
    return [
        f"{type(term).__name__} reads class scores as sigmoids, those of the {role}'s {side.head} are a "
        "softmax with background: use ClassificationKD or RobustLabels with activation='softmax'"
        for role, side in sides.items()
        if side.has_background
    ]


# What to do when a term reads a prediction that a model does not make.
CURES = {
    "box_logits": "use a head with reg_max (a box distribution), or a feature term",
    "cls_logits": "use a detector with a classification head",
}


def shape_problems(
    term: Term | Region,
    key: str,
    student: Interface,
    teacher: Interface,
    *,
    stage: str | None = None,
    axes: slice = slice(None),
) -> list[str]:
    """Why `predictions[key]` of a stage of two detectors cannot be compared; empty where they can.

    Args:
        term: for messages.
        stage: its name; None is the first.
        axes: which of the trailing axes per place must agree.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    problems: list[str] = []
    kind = type(term).__name__
    for role, interface in (("student", student), ("teacher", teacher)):
        side = interface.stage(stage)
        if key in side.shapes:
            shapes[role] = side.shapes[key]
        else:
            cure = CURES.get(key, "use another term")
            problems.append(f"{kind} needs {key}; the {role}'s {side.head} does not predict it: {cure}")
    if not problems and shapes["student"][axes] != shapes["teacher"][axes]:
        problems.append(
            f"{kind} compares {key}, but its shape per prior is {shapes['student']} for the student and "
            f"{shapes['teacher']} for the teacher: give both the same num_classes and reg_max"
        )
    return problems


class RegionTerm(Term):
    """A term that compares student and teacher per place inside one region.

    Subclasses give `requires` and `divergence(context)`, [N, P] values.

    Args:
        region: name of the region.
        weight: factor of the scalar; a term of weight 0 is removed before training.
        temperature: softens both sides; 1 or more.
        weighting: per-place weight inside the region: `uniform` 1, `iou` the region's own soft weight,
            `max_score` the student's highest class score.
        reduction: see `reduce_over_region`.
        name: key in the loss dict, must contain "loss"; by default made of the kind and the region.
        stage, adapters: see `Term`.
    Raises:
        ConfigError: unknown weighting or reduction, temperature below 1, name without "loss".
    """

    kind = ""

    def __init__(
        self,
        region: RegionName,
        weight: float,
        temperature: float,
        weighting: str,
        reduction: str,
        name: str | None,
        *,
        stage: str | None = None,
        adapters: ConvAdapters | None = None,
    ):
        one_of(weighting, WEIGHTINGS, f"unknown weighting {weighting!r}")
        own_name = f"loss_{self.kind}" + ("" if region == "main" else f"_{region}")
        super().__init__(weight, name or own_name, stage=stage, adapters=adapters)
        self.region = region
        self.regions = (region,)
        self.temperature = float(check_temperature(temperature))
        self.weighting = weighting
        self.reduction = check_reduction(reduction)

    def __call__(self, context: StepContext) -> jt.Var:
        """Scalar Var, `weight` not yet applied."""
        return self.reduce(context, context.region(self.region))

    def reduce(self, context: StepContext, region_weights: jt.Var) -> jt.Var:
        """Scalar Var of the divergence under [N, P] region weights."""
        weights = WEIGHTINGS[self.weighting](context, region_weights)
        mask = (region_weights > 0).float32()
        values = weights * self.divergence(context)
        return reduce_over_region(values, mask, context.places, self.reduction)

    def divergence(self, context: StepContext) -> jt.Var:
        """[N, P] difference of teacher and student at every place."""
        raise NotImplementedError

    def describe(self) -> str:
        """See `Term`."""
        return (
            f"{self.name}: {type(self).__name__}(region={self.region}, weight={self.weight:g}, "
            f"temperature={self.temperature:g}, weighting={self.weighting}, reduction={self.reduction})"
        )
