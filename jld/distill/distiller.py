"""Joins teachers, regions and terms into the one call the training loop makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jld.assign.interfaces import Region
from jld.config.schema import LESSON_KEYS
from jld.distill.compatibility import check_compatible, table_of
from jld.distill.context import StepContext
from jld.distill.defaults import default_terms
from jld.distill.schedule import TermSchedule
from jld.distill.step import Step
from jld.distill.teachers import Teacher
from jld.distill.terms.base import Term
from jld.errors import ConfigError, one_of
from jld.models import Detector, Trace
from jld.ops.precision import FLOAT32, convolutions_in
from jld.registry import REGIONS, build
from jld.toolchain import jittor as jt
from jld.utils.logging import get_logger

# The name of the teacher in `distill.teacher`; those in `distill.teachers` have names of their own.
DEFAULT_TEACHER = "teacher"
# Shares of the task losses outside of which a term deserves a second look.
SMALL_SHARE, LARGE_SHARE = 0.01, 1.0


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

    def describe(self, several: bool) -> str:
        """The term in one line, with its teacher where there are several, and its schedule."""
        of = f" from {self.teacher}" if several else ""
        when = self.schedule.describe()
        return self.term.describe() + of + (f" with {when}" if when else "")


class Distiller:
    """Computes the distillation losses of a step; without it a model is the plain student, bit for bit.

    Args:
        teachers: {name: TEACHERS object}.
        lessons: terms with weight above 0, each with its teacher and schedule.
        regions: {name: region object} the terms refer to.
    Raises:
        ConfigError: two terms share a name, a term names an unknown region or teacher, a teacher teaches
            nothing.
    """

    def __init__(
        self, teachers: Mapping[str, Teacher], lessons: Sequence[Lesson], regions: Mapping[str, Region]
    ):
        self.teachers = dict(teachers)
        self.lessons = list(lessons)
        self.regions = dict(regions)
        self._last: dict[str, jt.Var] = {}
        self._resting: set[str] = set()
        self._check_names()

    @property
    def terms(self) -> list[Term]:
        """The terms of all lessons."""
        return [lesson.term for lesson in self.lessons]

    @property
    def teacher(self) -> Teacher:
        """The first teacher."""
        return next(iter(self.teachers.values()))

    def bind(self, student: Detector) -> None:
        """Fits teachers and terms to a student.

        Raises:
            ConfigError: they cannot be combined; nothing is made then.
        """
        for teacher in self.teachers.values():
            teacher.bind(student)
        interfaces = {name: teacher.interface for name, teacher in self.teachers.items()}
        own = student.interface
        check_compatible(
            own, interfaces, [(lesson.term, lesson.teacher) for lesson in self.lessons], self.regions
        )
        for lesson in self.lessons:
            lesson.term.bind(own, interfaces[lesson.teacher])
            if lesson.term.hidden_depth is not None:
                for side in (student, self.teachers[lesson.teacher]):
                    side.keep_hidden(lesson.term.stage, lesson.term.hidden_depth)

    def begin(self, total_steps: int, steps_per_epoch: int) -> None:
        """Called when a training of this length is about to begin: tells the schedules.

        Raises:
            ConfigError: a term lacks what somebody else, such as a hook, should have given it by now.
        """
        for lesson in self.lessons:
            lesson.schedule.follow(total_steps, steps_per_epoch)
        problems = [text for term in self.terms if (text := term.missing())]
        if problems:
            raise ConfigError("\n".join(problems))

    def check_length(self, total_steps: int) -> None:
        """Stops when a term's schedule leaves it nothing to do in a training of this many steps.

        Raises:
            ConfigError: see above.
        """
        for lesson in self.lessons:
            if lesson.schedule.start >= total_steps:
                raise ConfigError(
                    f"{lesson.term.name} starts at step {lesson.schedule.start}, but the training has only "
                    f"{total_steps} steps: lower its schedule.start, or leave the term out."
                )

    def __call__(self, step: Step) -> dict[str, jt.Var]:
        """{name: scalar Var}: the weighted terms of one step, and the losses of teachers that learn.

        Terms that do not act in the step are 0, and a teacher none of whose terms acts is not run, unless it
        learns itself.
        """
        factors = {lesson.term.name: lesson.schedule.factor(step.iteration) for lesson in self.lessons}
        self._resting = {name for name, factor in factors.items() if not factor}
        traces = {name: self.teachers[name](step) for name in self._needed_teachers(factors)}
        losses = self._teachers_losses(traces, step)
        contexts = _Contexts(step, traces, self.regions)
        self._last = {}
        for lesson in self.lessons:
            losses[lesson.term.name] = self._loss(lesson, factors[lesson.term.name], contexts)
        self._last |= contexts.region_sizes(several=len(self.teachers) > 1)
        return losses

    def _needed_teachers(self, factors: Mapping[str, float]) -> list[str]:
        acting = {
            lesson.teacher
            for lesson in self.lessons
            if factors[lesson.term.name] or lesson.term.off != "skip"
        }
        return [name for name, teacher in self.teachers.items() if name in acting or teacher.modules()]

    def _teachers_losses(self, traces: Mapping[str, Trace], step: Step) -> dict[str, jt.Var]:
        losses: dict[str, jt.Var] = {}
        for name, trace in traces.items():
            suffix = "tea" if name == DEFAULT_TEACHER else name
            own = self.teachers[name].losses(trace, step.targets)
            losses |= {f"{key}.{suffix}": value for key, value in own.items()}
        return losses

    def _loss(self, lesson: Lesson, factor: float, contexts: _Contexts) -> jt.Var:
        term = lesson.term
        if not factor and term.off == "skip":
            return jt.zeros(1)
        context = contexts.of(lesson.teacher, term.stage, detached=not factor)
        # Half precision is for the networks: terms compare what the rounding would blur.
        with convolutions_in(FLOAT32):
            raw = term(context)
        self._last[f"raw/{term.name}"] = raw
        if not factor or not lesson.schedule.describe():
            return term.weight * raw
        self._last[f"factor/{term.name}"] = jt.array([factor])
        return self._last[f"factor/{term.name}"] * (term.weight * raw)

    def log_values(self) -> dict[str, jt.Var]:
        """{name: scalar Var} of the last step: raw terms, factors of scheduled ones, sizes of regions."""
        return self._last

    def describe_shares(self, losses: Mapping[str, float]) -> dict[str, str]:
        """{term: what it weighs beside the task losses} of those that acted and do not rest in the last step.

        Args:
            losses: {name: mean over some steps}, those of the task and of this distiller.
        """
        own = {term.name for term in self.terms}
        task = sum(value for name, value in losses.items() if name not in own and "." not in name)
        acting = {name: losses[name] for name in losses if name in own - self._resting and losses[name]}
        return {name: share_line(name, value / task) for name, value in acting.items()} if task > 0 else {}

    def silent_terms(self, losses: Mapping[str, float]) -> list[str]:
        """Terms that act in the last step and were 0 in all the steps of which `losses` are the means."""
        acting = (term for term in self.terms if term.name not in self._resting)
        return [term.name for term in acting if losses.get(term.name) == 0]

    def modules(self) -> dict[str, jt.Module]:
        """{"<term or teacher>.<module>": module}: what is trained with the student and saved with the run."""
        parts = {term.name: term.modules() for term in self.terms}
        parts |= {name: teacher.modules() for name, teacher in self.teachers.items()}
        return {
            f"{part}.{name}": module for part, modules in parts.items() for name, module in modules.items()
        }

    def describe(self, student: Detector) -> str:
        """A table of teachers, student and terms, printed before training."""
        columns = {"student": student.interface}
        columns |= {name: teacher.interface for name, teacher in self.teachers.items()}
        lessons = [lesson.describe(several=len(self.teachers) > 1) for lesson in self.lessons]
        own = student.interface.classes
        lessons += [
            f"the classes of {name} are put in the student's order"
            for name, teacher in self.teachers.items()
            if set(teacher.interface.classes) == set(own) and teacher.interface.classes != own
        ]
        return "\n".join([table_of(columns), *lessons])

    def _check_names(self) -> None:
        names = [*(term.name for term in self.terms), *self.teachers]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(
                    f"two distillation terms are called {name!r}: give one of them another `name`."
                )
        if {DEFAULT_TEACHER, "tea"} <= set(self.teachers):
            raise ConfigError("a teacher called 'tea' would have the loss names of 'teacher': rename it.")
        for lesson in self.lessons:
            for region in lesson.term.regions:
                one_of(region, self.regions, f"{type(lesson.term).__name__}: unknown region {region!r}")
            one_of(lesson.teacher, self.teachers, f"{lesson.term.name}: unknown teacher {lesson.teacher!r}")
        for name in self.teachers:
            if all(lesson.teacher != name for lesson in self.lessons):
                raise ConfigError(
                    f"no term learns from the teacher {name!r}: name it in one, or leave it out."
                )


def share_line(name: str, share: float) -> str:
    """A term's share of the task losses in words, with a hint where it is below 1 % or above 100 %."""
    hint = ""
    if share < SMALL_SHARE:
        hint = ": too small to teach much; a larger weight, or a start when the student finds objects?"
    elif share > LARGE_SHARE:
        hint = ": it leads, as in the recipe for short schedules; otherwise a smaller weight, or a warm-up?"
    return f"{name} is {100 * share:.3g} % of the task losses{hint}"


class _Contexts:
    """The contexts of one step, one per teacher and stage; what no teacher decides is shared between them."""

    def __init__(self, step: Step, traces: Mapping[str, Trace], regions: Mapping[str, Region]):
        self.step, self.traces, self.regions = step, traces, regions
        self._made: dict[tuple, StepContext] = {}
        self._shared: dict[tuple, dict] = {}
        self._detached: Step | None = None

    def of(self, teacher: str, stage: str | None, *, detached: bool) -> StepContext:
        """The context of a teacher and a stage; `detached` keeps gradients from the student."""
        key = (teacher, stage, detached)
        if key not in self._made:
            step = self.step
            if detached:
                step = self._detached = self._detached or self.step.detached()
            shared = self._shared.setdefault((stage, detached), {})
            self._made[key] = StepContext(
                step, self.traces[teacher], self.regions, stage=stage, shared=shared
            )
        return self._made[key]

    def region_sizes(self, *, several: bool) -> dict[str, jt.Var]:
        """{"region/name": number of places}; a region that depends on one of several teachers says which."""
        sizes = {}
        for (teacher, _, _), context in self._made.items():
            for name, weights in context.computed_regions().items():
                of = f"@{teacher}" if several and context.depends_on_teacher(name) else ""
                sizes[f"region/{name}{of}"] = (weights > 0).sum()
        return sizes


def build_distiller(
    distill: dict[str, Any] | None, student: Detector, num_steps: int | None = None
) -> Distiller | None:
    """The Distiller of a config's `distill` section, fitted to a student; None without a section.

    Args:
        distill: dict(teacher=dict(config, checkpoint, ...), terms=[dict(type=..., ...)],
            regions={name: dict}) or None. Instead of one `teacher` there may be `teachers`, {name: dict};
            then each term names its own (`teacher="name"`). A term's `schedule` says when it acts, see
            `TermSchedule`. Terms of weight 0 are dropped, with their cost. `regions` redefines a region for
            this run, such as dict(vlr=dict(type="ValuableLocalizationRegion", gate="diou")). Where `terms`
            is None, those of `default_terms` are written into it, so that the run's config shows them.
        student: the detector to be trained, whose `normalisation` and `classes` are compared with the
            teachers'.
        num_steps: of the training, for the choice of terms; see `default_terms`.
    Raises:
        ConfigError: nothing would be distilled; unknown region, weighting, reduction; or a teacher and the
            student do not fit.
    """
    if distill is None:
        return None
    sections = teacher_sections(distill)
    teachers: dict[str, Teacher] = {}
    if sections and distill.get("terms") is None:
        teachers = {DEFAULT_TEACHER: _build_teacher(sections[DEFAULT_TEACHER])}
        distill["terms"] = _chosen_terms(student, teachers[DEFAULT_TEACHER], num_steps)
    lessons = [
        _build_lesson(section, f"distill.terms.{index}", sections)
        for index, section in enumerate(distill.get("terms") or ())
    ]
    lessons = [lesson for lesson in lessons if lesson.term.weight != 0]
    if not lessons:
        raise ConfigError(
            "distill would distil nothing: it has no term with a weight above 0. Add one to distill.terms, "
            "or write distill=None for the plain student."
        )
    if not sections:
        raise ConfigError("distill has terms but no teacher: add teacher=dict(config=..., checkpoint=...).")
    needed = {lesson.teacher for lesson in lessons} - set(teachers)
    teachers |= {name: _build_teacher(section) for name, section in sections.items() if name in needed}
    regions = named_regions(distill.get("regions"), [lesson.term for lesson in lessons])
    distiller = Distiller(teachers, lessons, regions)
    distiller.bind(student)
    return distiller


def _chosen_terms(student: Detector, teacher: Teacher, num_steps: int | None) -> list[dict[str, Any]]:
    teacher.bind(student)
    recipe, terms, refusal = default_terms(student.interface, teacher.interface, num_steps)
    because = f" ({refusal})" if refusal else ""
    get_logger("run").info("distill.terms is not given; chosen: %s%s", recipe, because)
    return terms


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
    else:
        one_of(teacher, teachers, f"{path}: unknown teacher {teacher!r}")
    return Lesson(term, teacher, TermSchedule.from_config(section.get("schedule")))


def _build_teacher(section: Mapping[str, Any]) -> Teacher:
    return build({"type": "FrozenTeacher", **section}, path="distill.teacher")


def named_regions(redefined: Mapping[str, Any] | None, terms: Sequence[Any]) -> dict[str, Region]:
    """{name: region} of every region the terms ask for, with the config's own definitions on top."""
    names = dict.fromkeys(
        name for term in terms for name in term.regions
    )  # ordered: the same in every process
    regions = {name: REGIONS.get(name)() for name in names if name in REGIONS}
    return regions | {
        name: build(section, path=f"distill.regions.{name}") for name, section in (redefined or {}).items()
    }
