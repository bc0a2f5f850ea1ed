"""What a constructor says of its arguments: names, annotations, defaults, and its docstring's `Args:`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

_ENTRY = re.compile(r"(\w+(?:, \w+)*): (.*)")


def constructor_parameters(cls: Callable) -> dict[str, inspect.Parameter]:
    """{name: parameter} of a constructor, annotations given as strings evaluated one by one.

    One that cannot be evaluated (a name imported for type checkers only) becomes Any; the others still count.
    """
    names = getattr(getattr(cls, "__init__", cls), "__globals__", {})
    return {
        name: parameter.replace(annotation=_evaluated(parameter.annotation, names))
        for name, parameter in inspect.signature(cls).parameters.items()
    }


def _evaluated(annotation: Any, names: dict[str, Any]) -> Any:
    if annotation is inspect.Parameter.empty:
        return Any
    if not isinstance(annotation, str):
        return annotation
    try:
        return eval(annotation, dict(names))
    except Exception:
        return Any


def argument_meanings(cls: type) -> dict[str, str]:
    """{argument: what the `Args:` of the class say of it}, on one line; arguments may share an entry."""
    lines = iter(inspect.cleandoc(cls.__doc__ or "").splitlines())
    entries: list[tuple[str, str]] = []
    for line in lines:
        if line.startswith("Args:"):
            break
    for line in lines:
        if not line.startswith(" "):
            break
        text = line.strip()
        match = _ENTRY.match(text)
        if match and not line.startswith(" " * 8):
            entries.append((match[1], match[2]))
        elif entries:
            entries[-1] = (entries[-1][0], f"{entries[-1][1]} {text}")
    return {name: text.rstrip(".") for names, text in entries for name in names.split(", ")}
