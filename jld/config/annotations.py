"""Compares config values with the type annotations of a constructor, as far as those are simple.

Simple are int, float, bool, str, paths, None, lists, tuples, mappings, literals and unions of them. Anything
else (a class, a protocol, Any) cannot be decided before objects are built, and is let through.
"""

from __future__ import annotations

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

_SEQUENCES = (list, tuple, collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_MAPPINGS = (dict, collections.abc.Mapping, collections.abc.MutableMapping)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


_SCALARS: dict[Any, Callable[[Any], bool]] = {
    type(None): lambda value: value is None,
    bool: _is_bool,
    int: lambda value: isinstance(value, int | np.integer) and not _is_bool(value),
    float: lambda value: isinstance(value, int | float | np.integer | np.floating) and not _is_bool(value),
    str: lambda value: isinstance(value, str | PurePath),
}


def fits(value: Any, annotation: Any) -> bool:
    """Whether a value may stand where `annotation` is written; True when that cannot be decided.

    Lists and tuples stand for each other, since YAML has only lists; an int may stand for a float.
    """
    annotation = type(None) if annotation is None else annotation
    origin, args = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, arg) for arg in args)
    if origin is typing.Literal:
        return any(value == arg and isinstance(value, bool) == isinstance(arg, bool) for arg in args)
    if origin in _SEQUENCES:
        return isinstance(value, list | tuple) and _items_fit(value, origin, args)
    if origin in _MAPPINGS:
        item_kind = args[1] if len(args) == 2 else Any
        return isinstance(value, Mapping) and all(fits(item, item_kind) for item in value.values())
    if isinstance(origin, type) and issubclass(origin, PurePath):
        return isinstance(value, str | PurePath)
    return _SCALARS[origin](value) if isinstance(origin, type) and origin in _SCALARS else True


def _items_fit(value: list | tuple, origin: Any, args: tuple) -> bool:
    if origin is tuple and args and args[-1] is not Ellipsis:
        return len(value) == len(args) and all(map(fits, value, args))
    return not args or all(fits(item, args[0]) for item in value)


def describe(annotation: Any) -> str:
    """An annotation in words: `int or None`, `list of str`, `'H' or 'V'`."""
    origin, args = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(describe, args))
    if origin is typing.Literal:
        return " or ".join(map(repr, args))
    if origin in (None, type(None)):
        return "None"
    name = getattr(origin, "__name__", str(origin))
    if origin is tuple and args and args[-1] is not Ellipsis:
        return f"{len(args)} values ({', '.join(map(describe, args))})"
    if origin in _SEQUENCES and args:
        return f"list of {describe(args[0])}" if len(args) == 1 or args[-1] is Ellipsis else name
    if origin in _MAPPINGS:
        return "dict"
    return name


def admits_dict(annotation: Any) -> bool:
    """Whether a plain dict (one without `type`) is explicitly welcome."""
    origin, args = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(map(admits_dict, args))
    if origin in (list, tuple, collections.abc.Sequence):
        return any(map(admits_dict, args))
    return origin in _MAPPINGS


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
