"""What teacher, student and terms must share, checked before training starts."""

from __future__ import annotations

from typing import Any

from jld.errors import ConfigError

# What to do when a term reads a prediction that a model does not make.
CURES = {
    "box_logits": "use a head with reg_max (a box distribution), or a feature term",
    "cls_logits": "use a detector with a classification head",
}


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


def check_compatible(student: Any, teacher: Any, terms: list) -> None:
    """Refuses combinations that cannot be distilled.

    Args:
        student, teacher: detectors whose head offers `prediction_shapes()`, the trailing shape per prior of
            every key it predicts.
        terms: distillation terms with `requires`.
    Raises:
        ConfigError: all problems at once: other strides or priors, a prediction that a term needs is missing,
            or its shape differs (classes, sides, bins).
    """
    problems = []
    mine, yours = describe_detector(student), describe_detector(teacher)
    if any(term.requires for term in terms):
        problems += [
            f"{name} differ: student {mine[name]}, teacher {yours[name]}"
            for name in ("strides", "priors per cell")
            if mine[name] != yours[name]
        ]
    for term in terms:
        for key in term.requires:
            problems += _prediction_problems(type(term).__name__, key, student, teacher)
    if problems:
        raise ConfigError(
            "this teacher cannot teach this student:\n  " + "\n  ".join(dict.fromkeys(problems))
        )


def _prediction_problems(term: str, key: str, student: Any, teacher: Any) -> list[str]:
    shapes = {}
    problems = []
    for role, detector in (("student", student), ("teacher", teacher)):
        shapes[role] = detector.bbox_head.prediction_shapes().get(key)
        if shapes[role] is None:
            head, cure = type(detector.bbox_head).__name__, CURES.get(key, "use another term")
            problems.append(f"{term} needs {key}; the {role}'s {head} does not predict it: {cure}")
    if not problems and shapes["student"] != shapes["teacher"]:
        problems.append(
            f"{term} compares {key}, but its shape per prior is {shapes['student']} for the student and "
            f"{shapes['teacher']} for the teacher: give both the same num_classes and reg_max"
        )
    return problems
