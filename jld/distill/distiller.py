"""Joins teachers, regions and terms into the one call the training loop makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jld.config.schema import LESSON_KEYS
from jld.distill.compatibility import check_compatible, describe_detector
from jld.distill.context import StepContext
from jld.distill.schedule import TermSchedule
from jld.distill.teachers import InputStatistics
from jld.distill.terms.base import Term
from jld.errors import ConfigError, suggestion
from jld.ops.precision import FLOAT32, convolutions_in
from jld.registry import REGIONS, build
from jld.toolchain import jittor as jt

# The name of the teacher in `distill.teacher`; those in `distill.teachers` have names of their own.
DEFAULT_TEACHER = "teacher"


@dataclass(frozen=True)
class Lesson:
    """A term, the teacher it copies, and when.

    Attributes:
        term: a TERMS object.
        teacher: name of the teacher.
        schedule: factor of the term's weight over the training.
    """

    term: Term
    teacher: str = DEFAULT_TEACHER
    schedule: TermSchedule = field(default_factory=TermSchedule)


class Distiller:
    """Computes the distillation losses of a step; without it a model is the plain student, bit for bit.

    Args:
        teachers: {name: TEACHERS object}.
        lessons: terms with weight above 0, each with its teacher and schedule.
        regions: {name: region object} the terms refer to.
        student_statistics: how the training images are normalised, for teachers trained otherwise.
    Raises:
        ConfigError: two terms share a name, a term names an unknown region or teacher, a teacher teaches
            nothing.
    """

    def __init__(
        self,
        teachers: Mapping[str, Any],
        lessons: Sequence[Lesson],
        regions: Mapping[str, Any],
        student_statistics: InputStatistics | None = None,
    ):
        self.teachers = dict(teachers)
        self.lessons = list(lessons)
        self.regions = dict(regions)
        self.student_statistics = student_statistics
        self._last: dict[str, Any] = {}
        self._check_names()

    @property
    def terms(self) -> list[Term]:
        """The terms of all lessons."""
        return [lesson.term for lesson in self.lessons]

    @property
    def teacher(self) -> Any:
        """The first teacher."""
        return next(iter(self.teachers.values()))

    def __call__(self, trace, assignment, targets, images, step: int = 0) -> dict[str, Any]:
        """{term name: weighted scalar Var} of one step.

        Args:
            trace, assignment, targets: of the student on this batch.
            images: [N, 3, H, W] as the student saw them.
            step: finished steps, for schedules. Terms that do not act in it are 0, and a teacher none of
                whose terms acts is not run.
        """
        factors = {lesson.term.name: lesson.schedule.factor(step) for lesson in self.lessons}
        contexts = self._contexts(trace, assignment, targets, images, factors)
        losses, self._last = {}, {}
        for lesson in self.lessons:
            name = lesson.term.name
            if not factors[name]:
                losses[name] = jt.zeros(1)
                continue
            # Half precision is for the networks: terms compare what the rounding would blur.
            with convolutions_in(FLOAT32):
                raw = lesson.term(contexts[lesson.teacher])
            losses[name] = lesson.term.weight * raw
            self._last[f"raw/{name}"] = raw
            if lesson.schedule.describe():
                factor = jt.array([factors[name]])
                losses[name] = factor * losses[name]
                self._last[f"factor/{name}"] = factor
        for teacher, context in contexts.items():
            self._last |= self._region_sizes(context, teacher)
        return losses

    def _contexts(self, trace, assignment, targets, images, factors: Mapping[str, float]) -> dict[str, Any]:
        """{teacher: StepContext} of the teachers some term needs in this step."""
        needed = {lesson.teacher for lesson in self.lessons if factors[lesson.term.name]}
        shared: dict[Any, Any] = {}
        contexts = {}
        for name, teacher in self.teachers.items():
            if name in needed:
                contexts[name] = StepContext(
                    trace,
                    teacher(images, trace, targets.img_shapes, self.student_statistics),
                    assignment,
                    targets,
                    self.regions,
                    shared=shared,
                )
        return contexts

    def _region_sizes(self, context: StepContext, teacher: str) -> dict[str, Any]:
        """{"region/name": number of priors}; a region that depends on one of several teachers says which."""
        sizes = {}
        for name, weights in context.computed_regions().items():
            of = f"@{teacher}" if len(self.teachers) > 1 and context.depends_on_teacher(name) else ""
            sizes[f"region/{name}{of}"] = (weights > 0).sum()
        return sizes

    def log_values(self) -> dict[str, Any]:
        """{name: scalar Var} of the last step: raw terms, factors of scheduled ones, sizes of regions."""
        return self._last

    def modules(self) -> dict[str, Any]:
        """{"<term>.<module>": module} of the terms' adapters."""
        found = {}
        for term in self.terms:
            found |= {f"{term.name}.adapters.{level}": module for level, module in term.adapters.items()}
            adapter = getattr(term, "adapter", None)
            found |= {f"{term.name}.adapter": adapter} if isinstance(adapter, jt.Module) else {}
        return found

    def check(self, student) -> None:
        """Raises ConfigError when the teachers and the student cannot be combined."""
        check_compatible(
            student,
            {name: teacher.detector for name, teacher in self.teachers.items()},
            [(lesson.term, lesson.teacher) for lesson in self.lessons],
            self.regions,
        )

    def describe(self, student) -> str:
        """A table of teachers, student and terms, printed before training."""
        columns = {"student": describe_detector(student)}
        columns |= {name: describe_detector(each.detector) for name, each in self.teachers.items()}
        keys = list(dict.fromkeys(key for column in columns.values() for key in column))
        rows = [("", *columns)]
        rows += [(key, *(str(column.get(key, "-")) for column in columns.values())) for key in keys]
        widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in rows
        ]
        return "\n".join([*lines, *map(self._describe_lesson, self.lessons)])

    def _describe_lesson(self, lesson: Lesson) -> str:
        of = f" from {lesson.teacher}" if len(self.teachers) > 1 else ""
        when = lesson.schedule.describe()
        return lesson.term.describe() + of + (f" with {when}" if when else "")

    def _check_names(self) -> None:
        names = [term.name for term in self.terms]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(
                    f"two distillation terms are called {name!r}: give one of them another `name`."
                )
        for lesson in self.lessons:
            for region in lesson.term.regions:
                if region not in self.regions:
                    raise ConfigError(
                        f"{type(lesson.term).__name__}: unknown region {region!r}: "
                        f"{suggestion(region, self.regions)}"
                    )
            if lesson.teacher not in self.teachers:
                raise ConfigError(
                    f"{lesson.term.name}: unknown teacher {lesson.teacher!r}: "
                    f"{suggestion(lesson.teacher, self.teachers)}"
                )
        for name in self.teachers:
            if all(lesson.teacher != name for lesson in self.lessons):
                raise ConfigError(
                    f"no term learns from the teacher {name!r}: name it in one, or leave it out."
                )


def build_distiller(distill: Mapping[str, Any] | None, student, *, statistics: InputStatistics | None = None):
    """The Distiller of a config's `distill` section, or None where nothing would be distilled.

    Args:
        distill: dict(teacher=dict(config, checkpoint, ...), terms=[dict(type=..., ...)],
            regions={name: dict}) or None. Instead of one `teacher` there may be `teachers`, {name: dict};
            then each term names its own (`teacher="name"`). A term's `schedule` says when it acts, see
            `TermSchedule`. Terms of weight 0 are dropped, with their cost. `regions` redefines a region for
            this run, such as dict(vlr=dict(type="ValuableLocalizationRegion", gate="diou")).
        student: the detector to be trained; checked against the teachers.
        statistics: how the training images are normalised.
    Raises:
        ConfigError: unknown region, weighting, reduction, or a teacher and the student do not fit.
    """
    if distill is None:
        return None
    sections = teacher_sections(distill)
    lessons = [
        _build_lesson(section, f"distill.terms.{index}", sections)
        for index, section in enumerate(distill.get("terms") or ())
    ]
    lessons = [lesson for lesson in lessons if lesson.term.weight != 0]
    if not lessons:
        return None
    if not sections:
        raise ConfigError("distill has terms but no teacher: add teacher=dict(config=..., checkpoint=...).")
    needed = {lesson.teacher for lesson in lessons}
    teachers = {name: _build_teacher(section) for name, section in sections.items() if name in needed}
    regions = named_regions(distill.get("regions"), [lesson.term for lesson in lessons])
    distiller = Distiller(teachers, lessons, regions, statistics)
    distiller.check(student)
    return distiller


def teacher_sections(distill: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """{name: section} of all teachers of a `distill` section, the single one first."""
    single = {DEFAULT_TEACHER: distill["teacher"]} if distill.get("teacher") else {}
    return single | dict(distill.get("teachers") or {})


def _build_lesson(section: Mapping[str, Any], path: str, teachers: Mapping[str, Any]) -> Lesson:
    own = {key.name for key in LESSON_KEYS}
    term = build({key: value for key, value in section.items() if key not in own}, path=path)
    teacher = section.get("teacher")
    if teacher is None:
        if len(teachers) > 1 and DEFAULT_TEACHER not in teachers:
            raise ConfigError(
                f"{path}: there are several teachers, say whose: teacher={next(iter(teachers))!r}."
            )
        teacher = next(iter(teachers), DEFAULT_TEACHER)
    elif teacher not in teachers:
        raise ConfigError(f"{path}: unknown teacher {teacher!r}: {suggestion(teacher, teachers)}")
    return Lesson(term, teacher, TermSchedule.from_config(section.get("schedule")))


def _build_teacher(section: Mapping[str, Any]) -> Any:
    section = {"type": "FrozenTeacher", **section}
    # The teacher's own config is full of typed sections that belong to it: it is handed over unbuilt.
    unbuilt = {"config": section.pop("config")} if "config" in section else {}
    return build(section, path="distill.teacher", **unbuilt)


def named_regions(redefined: Mapping[str, Any] | None, terms: list) -> dict[str, Any]:
    """{name: region} of every region the terms ask for, with the config's own definitions on top."""
    names = dict.fromkeys(
        name for term in terms for name in term.regions
    )  # ordered: the same in every process
    regions = {name: REGIONS.get(name)() for name in names if name in REGIONS}
    return regions | {
        name: build(section, path=f"distill.regions.{name}") for name, section in (redefined or {}).items()
    }
