"""Writes a resolved config as a Python file that loads to the same config."""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable, Mapping
from pathlib import Path, PurePath
from typing import Any

import numpy as np

from jld.checkpoint import atomic_write
from jld.config.config import config_file, join
from jld.errors import CheckpointError, ConfigError

WIDTH = 110
TITLE = "Resolved config"
# Names the written file itself uses: as a key they would hide what the lines below them need.
_USED_NAMES = frozenset({"dict", "float", "np", "pathlib"})


def dump_config(config: Mapping[str, Any], path: str | Path) -> Path:
    """Writes `config` to `path`; the write is atomic, so a reader never sees half a file.

    Raises:
        ConfigError: a value is not plain data, a key cannot be written, or the file cannot.
    """
    text = dump_text(config)
    try:
        atomic_write(path, lambda stream: stream.write(text.encode("utf-8")))
    except CheckpointError as error:
        raise ConfigError(f"the config cannot be written: {error}") from error
    return Path(path)


def is_dumped(path: str | Path) -> bool:
    """Whether a file begins as `dump_config` begins one.

    Raises:
        OSError: it cannot be read.
    """
    start = f'"""{TITLE}'.encode()
    with Path(path).open("rb") as file:
        return file.read(len(start)) == start


def dump_text(config: Mapping[str, Any]) -> str:
    """The Python source of a resolved config.

    Raises:
        ConfigError: see `dump_config`.
    """
    for key in config:
        if not _is_name(key) or key.startswith("_") or key in _USED_NAMES:
            raise ConfigError(f"the top-level key {key!r} cannot be written as a Python name: rename it.")
    lines = [f"{key} = {_source(value, str(key), 0, len(str(key)) + 3)}" for key, value in config.items()]
    body = "\n".join(lines)
    origin = config_file(config)
    title = TITLE + (f" of {origin}" if origin else "")
    head = [f'"""{_escaped(title)}: bases and overrides are merged in, it runs as it is."""', ""]
    imports = [
        line for name, line in (("np.", "import numpy as np"), ("pathlib.", "import pathlib")) if name in body
    ]
    return "\n".join([*head, *([*sorted(imports, reverse=True), ""] if imports else []), body, ""])


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _is_name(key: Any) -> bool:
    return isinstance(key, str) and key.isidentifier() and not keyword.iskeyword(key)


def _source(value: Any, path: str, indent: int, column: int) -> str:
    """Python source of `value`; `column` is where its first line starts."""
    if isinstance(value, Mapping):
        return _section(value, path, indent, column)
    if type(value) in (list, tuple):
        items = [_source(item, join(path, index), indent + 4, indent + 4) for index, item in enumerate(value)]
        opening, closing = ("[", "]") if type(value) is list else ("(", ")")
        return _bracketed(
            opening, items, closing, indent, column, comma=type(value) is tuple and len(items) == 1
        )
    writer = _SCALARS.get(type(value)) or _scalar_writer(value)
    if writer is None:
        raise ConfigError(f"{path} is a {type(value).__name__}: a config can only hold plain data.")
    return writer(value)


def _section(value: Mapping, path: str, indent: int, column: int) -> str:
    named = all(_is_name(key) for key in value)
    items = []
    for key, item in value.items():
        label = f"{key}=" if named else f"{_source(key, join(path, key), 0, 0)}: "
        items.append(label + _source(item, join(path, key), indent + 4, indent + 4 + len(label)))
    opening, closing = ("dict(", ")") if named else ("{", "}")
    return _bracketed(opening, items, closing, indent, column)


def _bracketed(
    opening: str, items: list[str], closing: str, indent: int, column: int, comma: bool = False
) -> str:
    line = opening + ", ".join(items) + ("," if comma else "") + closing
    if "\n" not in line and column + len(line) <= WIDTH:
        return line
    pad = " " * (indent + 4)
    return opening + "\n" + "".join(f"{pad}{item},\n" for item in items) + " " * indent + closing


def _text_source(value: str) -> str:
    text = repr(value)
    return text if '"' in text else f'"{text[1:-1]}"'


def _float_source(value: float) -> str:
    return repr(value) if math.isfinite(value) else f'float("{value}")'


def _scalar_writer(value: Any) -> Callable[[Any], str] | None:
    if isinstance(value, np.generic) and type(value.item()) in _SCALARS:
        # The type is kept: arithmetic in float32 and in Python floats gives different numbers.
        return lambda scalar: f"np.{type(scalar).__name__}({_SCALARS[type(scalar.item())](scalar.item())})"
    if isinstance(value, PurePath):
        return lambda file: f"pathlib.Path({str(file)!r})"
    return None


_SCALARS: dict[type, Callable[[Any], str]] = {
    type(None): repr,
    bool: repr,
    int: repr,
    float: _float_source,
    str: _text_source,
    bytes: repr,
}
PLAIN_TYPES = (*_SCALARS, np.bool_, np.integer, np.floating, np.str_, PurePath, Mapping, list, tuple)
