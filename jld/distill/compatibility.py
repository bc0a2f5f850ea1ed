"""What student, teachers, terms and regions must share, checked in one place before training starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from jld.assign.interfaces import Region
from jld.distill.terms.base import Term, shape_problems
from jld.errors import ConfigError
from jld.models.interface import Interface

CLASSES_SHOWN = 6


def describe_interface(interface: Interface) -> dict[str, str]:
    """{property: value} of what distillation cares about, for the table printed before training."""
    normalisation = interface.normalisation
    rows = {
        "classes": _classes_text(interface),
        "strides": str(interface.strides),
        "channels": str(interface.channels),
        "input": "-" if normalisation is None else normalisation.describe(),
    }
    for name, stage in interface.stages.items():
        rows |= {f"{name} head": stage.head, f"{name} boxes": stage.boxes.describe()}
        if stage.is_grid:
            rows[f"{name} centre of a cell"] = f"{stage.center_offset:g} strides"
        rows |= {f"{name} {key}": str(value) for key, value in stage.places.items() if key != "strides"}
        rows |= {f"{name} {key}": "x".join(map(str, shape)) or "1" for key, shape in stage.shapes.items()}
    return rows


def table_of(columns: Mapping[str, Interface]) -> str:
    """A table with a column per detector and a row per property."""
    described = {name: describe_interface(interface) for name, interface in columns.items()}
    keys = list(dict.fromkeys(key for column in described.values() for key in column))
    rows = [("", *described)]
    rows += [(key, *(column.get(key, "-") for column in described.values())) for key in keys]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def check_compatible(
    student: Interface,
    teachers: Mapping[str, Interface],
    lessons: Iterable[tuple[Term, str]],
    regions: Mapping[str, Region],
) -> None:
    """Refuses combinations that cannot be distilled.

    Terms that compare predictions need the same places and the same classes by name (the teacher puts a
    permutation in order); terms on features need some stride that both have; regions boxes of their kind.

    Args:
        teachers: {name: interface}.
        lessons: (term, name of its teacher).
        regions: {name: region object}; see `jld.assign.regions` for what they say of themselves.
    Raises:
        ConfigError: all problems at once.
    """
    refused, lessons = [], list(lessons)
    for name, teacher in teachers.items():
        terms = [term for term, of in lessons if of == name]
        problems = _problems(student, teacher, terms, regions)
        if problems:
            which = "this teacher" if len(teachers) == 1 else f"the teacher {name!r}"
            refused.append(f"{which} cannot teach this student:\n  " + "\n  ".join(dict.fromkeys(problems)))
    if refused:
        raise ConfigError("\n".join(refused))


def _problems(
    student: Interface, teacher: Interface, terms: Sequence[Term], regions: Mapping[str, Region]
) -> list[str]:
    problems = [text for term in terms for text in _stage_problems(term, student, teacher)]
    if problems:
        return problems
    for term in terms:
        used = {name: regions[name] for name in term.regions}
        problems += _region_problems(student, term, used) + _grid_problems(student, term, used)
        readers = [(region, region.requires) for region in used.values() if hasattr(region, "requires")]
        if readers or term.requires:
            problems += _place_problems(student, teacher, term)
        if any("cls_logits" in keys for keys in (term.requires, *(keys for _, keys in readers))):
            problems += _class_problems(student, teacher)
        for region, keys in readers:
            for key in keys:
                problems += shape_problems(region, key, student, teacher, stage=term.stage)
    if any(term.reads_features for term in terms) and not set(student.strides) & set(teacher.strides):
        problems.append(
            f"no stride is shared: student {student.strides}, teacher {teacher.strides}; a term on features "
            "compares maps of equal stride"
        )
    return problems + [text for term in terms for text in term.check(student, teacher)]


def _stage_problems(term: Term, student: Interface, teacher: Interface) -> list[str]:
    sides = {"student": student, "teacher": teacher}
    return [
        f"{term.name}: the {side} has no stage {term.stage!r}, only {', '.join(interface.stages)}"
        for side, interface in sides.items()
        if term.stage is not None and term.stage not in interface.stages
    ]


def _place_problems(student: Interface, teacher: Interface, term: Term) -> list[str]:
    own, given = (side.stage(term.stage).places for side in (student, teacher))
    return [
        f"{name} differ: student {own.get(name, '-')}, teacher {given.get(name, '-')}"
        for name in dict.fromkeys((*own, *given))
        if own.get(name) != given.get(name)
    ]


def _class_problems(student: Interface, teacher: Interface) -> list[str]:
    own, given = student.classes, teacher.classes
    if not own or not given or own == given:
        return []  # without names the shapes are all there is to compare
    if sorted(own) == sorted(given) and len(set(own)) == len(own):
        return []  # the teacher puts them in order
    return [
        f"classes differ: student {_classes_text(student)}, teacher {_classes_text(teacher)}; missing at the "
        f"teacher: {', '.join(name for name in own if name not in given) or 'none'}, unknown to the student: "
        f"{', '.join(name for name in given if name not in own) or 'none'}"
    ]


def _region_problems(student: Interface, term: Term, regions: Mapping[str, Region]) -> list[str]:
    found = student.stage(term.stage).boxes.num_sides
    kinds = {4: "upright", 5: "rotated"}
    readers = {name: getattr(region, "num_sides", found) for name, region in regions.items()}
    return [
        f"{term.name}: the region {name!r} reads {kinds[sides]} boxes, but the student's are "
        f"described by {found} numbers: use a region for {kinds.get(found, 'such')} boxes, "
        f"{'such as rotated_ld' if found == 5 else 'such as vlr'}, or main"
        for name, sides in readers.items()
        if sides != found
    ]


def _grid_problems(student: Interface, term: Term, regions: Mapping[str, Region]) -> list[str]:
    stage = student.stage(term.stage)
    readers = [
        f"the region {name!r}" for name, region in regions.items() if getattr(region, "needs_grid", False)
    ]
    readers += ["the term"] * term.needs_grid
    return [
        f"{term.name}: {reader} reads cells of a pyramid, and the RoIs of {stage.head} lie in none: leave "
        f"out stage={term.stage!r}, or use a region such as main or inside_gt"
        for reader in readers
        if not stage.is_grid
    ]


def _classes_text(interface: Interface) -> str:
    names = interface.classes
    if not names:
        return str(interface.num_classes)
    more = f", ... {len(names)} in all" if len(names) > CLASSES_SHOWN else ""
    return f"({', '.join(names[:CLASSES_SHOWN])}{more})"
