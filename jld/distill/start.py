"""What a student takes over from its teacher before training, beside what it learns from it afterwards."""

from __future__ import annotations

from collections.abc import Sequence

from jld.checkpoint.class_layer import PARAMETER
from jld.distill.distiller import Distiller
from jld.distill.teachers import FrozenTeacher
from jld.errors import ConfigError, one_of
from jld.models import Detector
from jld.toolchain import jittor as jt

KEY = "distill.init_from_teacher"


def init_from_teacher(student: Detector, distiller: Distiller, modules: Sequence[str]) -> str:
    """Copies the teacher's weights of some top-level modules into the student, running statistics included.

    A student that starts from its teacher's neck and head is ahead of one that does not: a gain over a plain
    student then is not the distillation's alone.

    Args:
        student: the detector that is about to be trained.
        distiller: its distiller, with a single frozen teacher.
        modules: names of attributes of both detectors, such as `neck` and `bbox_head`.
    Returns:
        One line about what was copied.
    Raises:
        ConfigError: no single frozen teacher, an unknown module, the first parameter that only one of the
            two has or that has another shape, or classes in another order; nothing is copied then.
    """
    teacher = distiller.teacher
    if len(distiller.teachers) > 1 or not isinstance(teacher, FrozenTeacher):
        raise ConfigError(f"{KEY} copies from a single FrozenTeacher: leave the key out, or teach with one.")
    own, given = (
        {name: var for name, var in detector.state_dict().items() if name.split(".")[0] in modules}
        for detector in (student, teacher.detector)
    )
    _check_names(student, modules)
    _check_equal(own, given)
    classes = student.interface.classes, teacher.interface.classes
    if all(classes) and classes[0] != classes[1] and any(map(PARAMETER.fullmatch, own)):
        raise ConfigError(
            f"{KEY}: the last layer of the classes cannot be copied, because teacher and student have their "
            f"classes in another order: leave {next(filter(PARAMETER.fullmatch, own)).split('.')[0]!r} out."
        )
    for name, var in own.items():
        var.assign(jt.array(given[name].numpy()))
    return (
        f"the student starts from its teacher's {' and '.join(modules)} ({len(own)} arrays): compare it with "
        "students that start so, too"
    )


def _check_names(student: Detector, modules: Sequence[str]) -> None:
    known = list(dict.fromkeys(name.split(".")[0] for name in student.state_dict()))
    for name in modules:
        one_of(name, known, f"{KEY}: the student has no module {name!r}")


def _check_equal(own: dict[str, jt.Var], given: dict[str, jt.Var]) -> None:
    for name in [*own, *given]:
        for role, side in (("student", own), ("teacher", given)):
            if name not in side:
                raise ConfigError(f"{KEY}: the {role} has no {name}: copy only modules that both have alike.")
        shapes = [tuple(side[name].shape) for side in (own, given)]
        if shapes[0] != shapes[1]:
            raise ConfigError(
                f"{KEY}: {name} has the shape {shapes[0]} in the student and {shapes[1]} in the teacher: "
                "copy only modules that both have alike."
            )
