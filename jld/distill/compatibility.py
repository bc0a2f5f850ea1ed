"""What teacher, student and terms must share, checked before training starts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jld.distill.terms.base import Term, shape_problems
from jld.errors import ConfigError


def describe_detector(detector: Any) -> dict[str, Any]:
    """{property: value} of what distillation cares about, for the table printed before training."""
    head = detector.bbox_head
    return {
        "head": type(head).__name__,
        "classes": head.num_classes,
        "strides": tuple(head.priors.strides),
        "priors per cell": head.priors.num_per_cell,
        **{key: "x".join(map(str, shape)) for key, shape in head.prediction_shapes().items()},
    }


def check_compatible(
    student: Any, teachers: Mapping[str, Any], lessons: Sequence[tuple[Term, str]], regions: Mapping[str, Any]
) -> None:
    """Refuses combinations that cannot be distilled.

    Terms that compare predictions need the same priors; terms on features need some stride that both
    have.

    Args:
        student: detector whose head offers `prediction_shapes()`, the trailing shape per prior of every key
            it predicts.
        teachers: {name: detector}.
        lessons: (term, name of its teacher).
        regions: {name: region object}; one that reads predictions names them in `requires`.
    Raises:
        ConfigError: all problems at once: other strides or priors, a prediction that a term needs is missing,
            or its shape differs (classes, sides, bins).
    """
    refused = []
    for name, teacher in teachers.items():
        terms = [term for term, of in lessons if of == name]
        problems = _problems(student, teacher, terms, regions)
        if problems:
            which = "this teacher" if len(teachers) == 1 else f"the teacher {name!r}"
            refused.append(f"{which} cannot teach this student:\n  " + "\n  ".join(dict.fromkeys(problems)))
    if refused:
        raise ConfigError("\n".join(refused))


def _problems(student: Any, teacher: Any, terms: Sequence[Term], regions: Mapping[str, Any]) -> list[str]:
    mine, yours = describe_detector(student), describe_detector(teacher)
    problems = []
    readers = {
        name: regions[name] for term in terms for name in term.regions if hasattr(regions[name], "requires")
    }
    if readers or any(term.requires for term in terms):
        problems += [
            f"{name} differ: student {mine[name]}, teacher {yours[name]}"
            for name in ("strides", "priors per cell")
            if mine[name] != yours[name]
        ]
    if any(term.reads_features for term in terms) and not set(mine["strides"]) & set(yours["strides"]):
        problems.append(
            f"no stride is shared: student {mine['strides']}, teacher {yours['strides']}; a term on features "
            "compares maps of equal stride"
        )
    for region in readers.values():
        for key in region.requires:
            problems += shape_problems(region, key, student, teacher)
    for term in terms:
        problems += term.bind(student, teacher)
    return problems
