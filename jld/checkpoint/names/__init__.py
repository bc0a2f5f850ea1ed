"""How other frameworks spell parameter names; one file per origin with `detect` and `map_name`."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType

from jld.checkpoint.names import detectron2, jdet, mmdet, mmdet1, mmrotate, swin, timm, torchvision
from jld.checkpoint.names.rules import Mapped, State, apply_rules
from jld.checkpoint.names.wrappers import student_part
from jld.errors import CheckpointError, suggestion

TABLES: dict[str, ModuleType] = {
    "mmdet": mmdet,
    "mmdet1": mmdet1,
    "mmrotate": mmrotate,
    "torchvision": torchvision,
    "timm": timm,
    "jdet": jdet,
    "detectron2": detectron2,
    "swin": swin,
}
ORIGINS = ("jld", *TABLES, "unknown")


def detect_origin(state: State, meta: Mapping | None = None) -> str:
    """The family of a file's names: a key of `TABLES`, "jld" for our own files, or "unknown".

    Args:
        state: names to arrays; names and shapes decide.
        meta: the file's plain data; our files and JDet's say who wrote them.
    """
    for origin in ("jld", "jdet"):
        if meta and f"{origin}_version" in meta:
            return origin
    state, _ = student_part(state)
    scores = {origin: table.detect(state) for origin, table in TABLES.items()}
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] > 0 else "unknown"


def prepared(state: State, origin: str) -> State:
    """The state in names that can be translated one by one, where those of the origin cannot."""
    prepare = getattr(TABLES.get(origin), "prepared", None)
    return state if prepare is None else prepare(state)


def note_of(name: str, origin: str) -> str:
    """What `prepared` did to a parameter, by our name; empty for nothing worth saying."""
    found = getattr(TABLES.get(origin), "note_of", None)
    return "" if found is None else found(name)


def map_name(name: str, origin: str) -> Mapped:
    """Our spelling of a name from a file of that origin, or why it is dropped.

    Raises:
        CheckpointError: the origin is not known.
    """
    if origin in TABLES:
        return TABLES[origin].map_name(name)
    if origin not in ORIGINS:
        raise CheckpointError(f"Unknown checkpoint origin {origin!r}: {suggestion(origin, ORIGINS)}")
    return apply_rules(name, (), ())


__all__ = ["ORIGINS", "TABLES", "Mapped", "detect_origin", "map_name", "note_of", "prepared", "student_part"]
