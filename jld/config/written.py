"""Reads back what `dump_config` writes without running it: the config.py of a folder that others filled.

It understands literals, `dict(...)`, `float("nan")`, `np.<number type>(...)` and `pathlib.Path(...)`.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from jld.config.config import walk
from jld.errors import ConfigError

MAX_BYTES = 4_000_000


def read_written(path: str | Path) -> dict[str, Any]:
    """The values of a config.py, as far as they are plain.

    Raises:
        ConfigError: it cannot be read, is no Python, or computes something.
    """
    values, odd = plain_assignments(path)
    if odd:
        name, line = next(iter(odd.items()))
        raise ConfigError(f"{path}, line {line}: {name} is not plain data, as jld writes it.")
    return values


def plain_assignments(path: str | Path) -> tuple[dict[str, Any], dict[str, int]]:
    """(values of the top-level names that are plain data, {other name or kind of statement: its line}).

    Raises:
        ConfigError: it cannot be read or is no Python.
    """
    values: dict[str, Any] = {}
    odd: dict[str, int] = {}
    for statement in _parsed(Path(path)).body:
        is_docstring = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
        if is_docstring or isinstance(statement, ast.Import):
            continue
        if not isinstance(statement, ast.Assign) or not isinstance(statement.targets[0], ast.Name):
            odd[type(statement).__name__] = statement.lineno
            continue
        name = statement.targets[0].id
        try:
            values[name] = _value(statement.value)
        except (ValueError, TypeError, OverflowError, RecursionError, MemoryError):
            odd[name] = statement.lineno
    return values, odd


def differing_keys(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(dotted path, our value, their value) of every leaf that differs; a missing one is "absent"."""
    here, there = dict(_leaves(ours)), dict(_leaves(theirs))
    for path in dict.fromkeys([*here, *there]):
        pair = here.get(path, "absent"), there.get(path, "absent")
        # NaN is equal to itself here, and a list is the same as a tuple: files keep them apart, runs do not.
        if repr(pair[0]) != repr(pair[1]):
            yield path, *pair


def _leaves(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for path, value in walk(values):
        if not isinstance(value, Mapping | list | tuple) or not value:
            yield path, () if isinstance(value, list) else value


def _parsed(path: Path) -> ast.Module:
    try:
        with path.open("rb") as stream:
            source = stream.read(MAX_BYTES + 1)
        if len(source) > MAX_BYTES:
            raise ConfigError(f"{path} holds more than {MAX_BYTES // 10**6} MB, too much for a config.")
        return ast.parse(source, str(path))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}.") from error
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ConfigError(f"{path} is no Python file ({getattr(error, 'msg', None) or error}).") from error


def _value(node: ast.expr | None) -> Any:
    """The value of an expression that `dump_config` writes; ValueError for all others."""
    if isinstance(node, ast.Dict):
        return {_value(key): _value(item) for key, item in zip(node.keys, node.values, strict=True)}
    if isinstance(node, ast.List | ast.Tuple):
        items = [_value(item) for item in node.elts]
        return items if isinstance(node, ast.List) else tuple(items)
    if isinstance(node, ast.Call):
        return _call(node)
    if node is None:  # the key of `**other` in a dictionary
        raise ValueError("**")
    return ast.literal_eval(node)


def _call(node: ast.Call) -> Any:
    name = ast.unparse(node.func)
    arguments = [_value(item) for item in node.args]
    if name == "dict" and not arguments:
        return {keyword.arg: _value(keyword.value) for keyword in node.keywords if keyword.arg}
    if len(arguments) != 1 or node.keywords:
        raise ValueError(name)
    return _maker(name)(arguments[0])


def _maker(name: str) -> Callable[[Any], Any]:
    if name in ("float", "pathlib.Path"):
        return {"float": float, "pathlib.Path": Path}[name]
    module, _, kind = name.partition(".")
    made = getattr(np, kind, None) if module == "np" else None
    if not isinstance(made, type) or not issubclass(made, np.bool_ | np.number | np.str_):
        raise ValueError(name)
    return made
