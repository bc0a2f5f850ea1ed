"""Joins a teacher, regions and terms into the one call the training loop makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jld.distill.compatibility import check_compatible, describe_detector
from jld.distill.context import StepContext
from jld.distill.teachers import InputStatistics
from jld.errors import ConfigError, suggestion
from jld.registry import REGIONS, build


class Distiller:
    """Computes the distillation losses of a step; without it a model is the plain student, bit for bit.

    Args:
        teacher: a TEACHERS object.
        terms: TERMS objects with weight above 0.
        regions: {name: region object} the terms refer to.
        student_statistics: how the training images are normalised, for teachers trained otherwise.
    Raises:
        ConfigError: two terms share a name, or a term names an unknown region.
    """

    def __init__(
        self,
        teacher,
        terms: list,
        regions: Mapping[str, Any],
        student_statistics: InputStatistics | None = None,
    ):
        names = [term.name for term in terms]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(
                    f"two distillation terms are called {name!r}: give one of them another `name`."
                )
        for term in terms:
            if term.region not in regions:
                raise ConfigError(
                    f"{type(term).__name__}: unknown region {term.region!r}: "
                    f"{suggestion(term.region, regions)}"
                )
        self.teacher = teacher
        self.terms = terms
        self.regions = dict(regions)
        self.student_statistics = student_statistics
        self._last: dict[str, Any] = {}

    def __call__(self, trace, assignment, targets, images) -> dict[str, Any]:
        """{term name: weighted scalar Var} of one step."""
        teacher_trace = self.teacher(images, trace, targets.img_shapes, self.student_statistics)
        context = StepContext(trace, teacher_trace, assignment, targets, self.regions)
        raw = {term.name: term(context) for term in self.terms}
        self._last = {f"raw/{name}": value for name, value in raw.items()}
        self._last |= {
            f"region/{name}": (weights > 0).sum() for name, weights in context.computed_regions().items()
        }
        return {term.name: term.weight * raw[term.name] for term in self.terms}

    def log_values(self) -> dict[str, Any]:
        """{name: scalar Var} of the last step: unweighted terms and the number of priors in each region."""
        return self._last

    def parameters(self) -> list:
        """Parameters of the terms' adapters."""
        return [parameter for term in self.terms for parameter in term.parameters()]

    def check(self, student) -> None:
        """Raises ConfigError when teacher and student cannot be combined."""
        check_compatible(student, self.teacher.detector, self.terms)

    def describe(self, student) -> str:
        """A table of teacher, student and terms, printed before training."""
        mine, yours = describe_detector(student), describe_detector(self.teacher.detector)
        keys = list(dict.fromkeys([*mine, *yours]))
        rows = [
            ("", "student", "teacher"),
            *((key, str(mine.get(key, "-")), str(yours.get(key, "-"))) for key in keys),
        ]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        for term in self.terms:
            lines.append(
                f"{term.name}: {type(term).__name__}(region={term.region}, weight={term.weight:g}, "
                f"temperature={term.temperature:g}, weighting={term.weighting}, reduction={term.reduction})"
            )
        return "\n".join(lines)


def build_distiller(distill: Mapping[str, Any] | None, student, *, statistics: InputStatistics | None = None):
    """The Distiller of a config's `distill` section, or None where nothing would be distilled.

    Args:
        distill: dict(teacher=dict(config, checkpoint, ...), terms=[dict(type=..., ...)],
            regions={name: dict}) or None. Terms of weight 0 are dropped, with their cost. `regions` redefines
            a region for this run, such as dict(vlr=dict(type="ValuableLocalizationRegion", gate="diou")).
        student: the detector to be trained; checked against the teacher.
        statistics: how the training images are normalised.
    Raises:
        ConfigError: unknown region, weighting, reduction, or teacher and student do not fit.
    """
    if distill is None:
        return None
    terms = [
        build(term, path=f"distill.terms.{index}") for index, term in enumerate(distill.get("terms") or ())
    ]
    terms = [term for term in terms if term.weight != 0]
    if not terms:
        return None
    if not distill.get("teacher"):
        raise ConfigError("distill has terms but no teacher: add teacher=dict(config=..., checkpoint=...).")
    section = {"type": "FrozenTeacher", **distill["teacher"]}
    # The teacher's own config is full of typed sections that belong to it: it is handed over unbuilt.
    unbuilt = {"config": section.pop("config")} if "config" in section else {}
    teacher = build(section, path="distill.teacher", **unbuilt)
    distiller = Distiller(teacher, terms, named_regions(distill.get("regions"), terms), statistics)
    distiller.check(student)
    return distiller


def named_regions(redefined: Mapping[str, Any] | None, terms: list) -> dict[str, Any]:
    """{name: region} of every registered region, with the config's own definitions on top."""
    names = dict.fromkeys(term.region for term in terms)  # ordered: the same in every process
    regions = {name: REGIONS.get(name)() for name in names if name in REGIONS}
    return regions | {
        name: build(section, path=f"distill.regions.{name}") for name, section in (redefined or {}).items()
    }
