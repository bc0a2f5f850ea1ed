"""Command-line overrides: `key.path=value` on top of a loaded config."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from jld.config.config import Config, config_file, join, walk
from jld.config.yaml_text import MAX_INTEGER_BITS, parse_yaml
from jld.errors import ConfigError, nearest, suggestion

MAX_SHOWN = 80


def parse_value(text: str) -> Any:
    """The value a user typed: a Python literal (`(1, 2)`, `None`, `1e-3`), else YAML (`null`, `[a, b]`).

    Raises:
        ConfigError: empty, or neither of the two.
    """
    text = text.strip()
    if not text:
        raise ConfigError("the value is empty: write null for None or '' for an empty string")
    try:
        return _bounded(ast.literal_eval(text))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        pass  # not Python: YAML decides, and reads any plain word as a string
    try:
        return parse_yaml(text)
    except yaml.YAMLError as error:
        why = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise ConfigError(
            f"{_short(text)!r} is neither a Python nor a YAML value ({why}): put quotes around it"
        ) from error


def _bounded(value: Any) -> Any:
    for _, item in walk(value):
        if isinstance(item, int) and item.bit_length() > MAX_INTEGER_BITS:
            raise ValueError("an integer has more digits than any setting")
    return value


def _short(text: str) -> str:
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def apply_overrides(config: Mapping[str, Any], overrides: Iterable[str]) -> Config:
    """A copy of `config` with every `key.path=value` applied in order.

    List items are addressed by number, from 0 or from -1 backwards. The last key of a path may be new
    (validation decides whether it may stand there); everything before it must exist, but for `distill`: one
    of its keys makes a plain student's config a distilled one. A `work_dir` that was derived from `name`
    follows a new `name`.

    Raises:
        ConfigError: not of the form key=value, a part of the path does not exist (says the nearest key), an
            index is out of range, or a value stands where a section is needed.
    """
    result = Config(config, file=config_file(config))
    derived = result.get("work_dir") == f"work_dirs/{result.get('name')}"
    for override in overrides:
        key_path, equals, text = override.partition("=")
        parts = key_path.strip().split(".")
        if not equals or not all(parts):
            raise ConfigError(f"override {override!r} must read key.path=value, such as optimizer.lr=0.01.")
        try:
            value = parse_value(text)
        except ConfigError as error:
            raise ConfigError(f"override {_short(override)!r}: {error}.") from error
        if parts[0] == "distill" and len(parts) > 1 and result.get("distill") is None:
            result["distill"] = {}
        top = _replaced(result, parts, value, "", override)
        result[parts[0]] = top[parts[0]]
        derived = derived and parts[0] != "work_dir"
    if derived:
        result["work_dir"] = f"work_dirs/{result['name']}"
    return result


def _replaced(node: Any, parts: list[str], value: Any, path: str, override: str) -> Any:
    """A copy of `node` in which the place named by `parts` holds `value`."""
    key, rest = parts[0], parts[1:]
    if isinstance(node, Mapping):
        key = _existing_key(node, key)
        if rest and key not in node:
            place = join(path, key)
            cure = "" if nearest(key, node) else f" To add a section write {place}={{{rest[0]}: ...}}."
            raise ConfigError(f"override {override!r}: there is no {place}: {suggestion(key, node)}{cure}")
        new = _replaced(node[key], rest, value, join(path, key), override) if rest else value
        return {**node, key: new}
    if isinstance(node, list | tuple):
        index = _index(node, key, path, override)
        new = _replaced(node[index], rest, value, join(path, key), override) if rest else value
        return type(node)([*node[:index], new, *node[index + 1 :]])
    kind = "None" if node is None else f"a {type(node).__name__}"
    cure = f"set it as a whole, {path}={{{key}: ...}}"
    raise ConfigError(f"override {override!r}: {path} is {kind} and has no keys; {cure}.")


def _existing_key(node: Mapping, key: str) -> Any:
    """The key as the dict holds it: YAML and Python dicts may have numbers as keys."""
    return next((known for known in node if str(known) == key), key)


def _index(node: list | tuple, key: str, path: str, override: str) -> int:
    try:
        index = range(len(node))[int(key)]
    except ValueError as error:
        types = [item.get("type") for item in node if isinstance(item, Mapping) and item.get("type")]
        match = nearest(key, map(str, types))
        hint = f"; {match} is number {types.index(match)}" if match and len(types) == len(node) else ""
        raise ConfigError(
            f"override {override!r}: {path} is a list, {key!r} must be a number{hint}."
        ) from error
    except IndexError as error:
        raise ConfigError(f"override {override!r}: {path} has {len(node)} items, numbered from 0.") from error
    return index
