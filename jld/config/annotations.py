"""Compares config values with type annotations, as far as those are simple.

Simple are int, float, bool, str, paths, None, lists, tuples, mappings, literals and unions of them. The
interface of a registry stands for a section, and `Annotated[str, REGISTRY]` for a name in it. Anything else
(another class, Any) cannot be decided before objects are built, and is let through.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import Any

import numpy as np

from jld.registry import Registry

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
    origin, args = _split(annotation)
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
    if registry_of(origin) is not None:
        return isinstance(value, Mapping)
    return _SCALARS[origin](value) if isinstance(origin, type) and origin in _SCALARS else True


def _split(annotation: Any) -> tuple[Any, tuple]:
    """(list, (int,)) of `list[int]`; without what `Annotated` adds."""
    if typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    annotation = type(None) if annotation is None else annotation
    return typing.get_origin(annotation) or annotation, typing.get_args(annotation)


def registry_of(annotation: Any) -> Registry | None:
    """The registry whose parts, or names, an annotation asks for; None where it asks for none.

    Parts inside unions, sequences and mappings count: `Sequence[Loss] | None` asks for losses.
    """
    if isinstance(annotation, Registry):
        return annotation
    if args := typing.get_args(annotation):
        return next((found for each in args if (found := registry_of(each)) is not None), None)
    if not isinstance(annotation, type):
        return None
    return next((each for each in Registry.instances if each.offers(annotation)), None)


def _items_fit(value: list | tuple, origin: Any, args: tuple) -> bool:
    if origin is tuple and args and args[-1] is not Ellipsis:
        return len(value) == len(args) and all(map(fits, value, args))
    return not args or all(fits(item, args[0]) for item in value)


def describe(annotation: Any) -> str:
    """An annotation in words: `int or None`, `list of str`, `'H' or 'V'`, `dict(type=...) of a loss`."""
    origin, args = _split(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(map(describe, args))
    if origin is typing.Literal:
        return " or ".join(map(repr, args))
    if origin is type(None):
        return "None"
    if (registry := registry_of(origin)) is not None:
        return f"dict(type=...) of a {registry.kind}"
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
    origin, args = _split(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(map(admits_dict, args))
    if origin in (list, tuple, collections.abc.Sequence):
        return any(map(admits_dict, args))
    return origin in _MAPPINGS
