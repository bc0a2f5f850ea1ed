"""The config object: a plain nested dict with attribute access, in which a missing key is an error.

Owns access and the place (file, key path) that error messages name. Knows neither files nor keys.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jld.errors import ConfigError, suggestion


class MissingKeyError(ConfigError, AttributeError, KeyError):
    """A key that a config section does not have; says the nearest one.

    It is an AttributeError and a KeyError too, so `hasattr` and code written for dicts keep working.
    """

    # KeyError would show the message in quotes.
    __str__ = Exception.__str__


class Config(dict):
    """A nested dict whose keys are also attributes.

    Nested mappings become Configs (inside lists and tuples too). Reading a key that is not there raises,
    it never gives None; `get` works as in dict. A key that is also a dict method (`items`, `keys`, ...) is
    read with brackets.

    Args:
        values: any mapping; it is copied.
        file: the file it came from, for messages.
        path: dotted key path of this section, for messages; empty for the whole config.
    """

    def __init__(self, values: Mapping[str, Any] | None = None, *, file: Path | None = None, path: str = ""):
        super().__init__()
        # Not through __setattr__, which would make them keys.
        self.__dict__.update(_file=file, _path=path)
        self.update(values or {})

    def __getattr__(self, key: str) -> Any:
        return self[key]

    def __setattr__(self, key: str, value: Any) -> None:
        self[key] = value

    def __delattr__(self, key: str) -> None:
        del self[key]

    def __missing__(self, key: str) -> Any:
        section = self.__dict__.get("_path") or "the config"
        where = f"{file}: " if (file := self.__dict__.get("_file")) else ""
        raise MissingKeyError(f"{where}{section} has no key {key!r}: {suggestion(key, self)}")

    def __setitem__(self, key: str, value: Any) -> None:
        prefix = self.__dict__.get("_path", "")
        path = f"{prefix}.{key}" if prefix else str(key)
        super().__setitem__(key, _nested(value, self.__dict__.get("_file"), path))

    def setdefault(self, key: str, default: Any = None) -> Any:
        """As in dict."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *args: Any, **kwargs: Any) -> None:
        """As in dict."""
        for key, value in dict(*args, **kwargs).items():
            self[key] = value

    def __ior__(self, other: Any) -> Config:  # type: ignore[misc]  # as update, and unlike `|`
        self.update(other)
        return self

    def copy(self) -> Config:
        """An independent copy, nested sections included."""
        return Config(self, file=self.__dict__.get("_file"), path=self.__dict__.get("_path", ""))


def _nested(value: Any, file: Path | None, path: str) -> Any:
    if isinstance(value, Mapping):
        return Config(value, file=file, path=path)
    if type(value) in (list, tuple):
        return type(value)(_nested(item, file, f"{path}.{index}") for index, item in enumerate(value))
    return value


def config_file(config: Mapping[str, Any]) -> Path | None:
    """The file a config was loaded from, or None for one made in memory."""
    return config.__dict__.get("_file") if isinstance(config, Config) else None


def to_plain(value: Any) -> Any:
    """The same values as builtin dicts, lists and tuples, for files that other programs read."""
    if isinstance(value, Mapping):
        return {key: to_plain(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(to_plain(item) for item in value)
    return value


def walk(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(dotted path, value) of every node below and including `value`; list items are counted from 0."""
    yield path, value
    items: Any = ()
    if isinstance(value, Mapping):
        items = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    for key, item in items:
        yield from walk(item, join(path, key))


def join(path: str, key: Any) -> str:
    """`path.key`, or `key` at the top."""
    return f"{path}.{key}" if path else str(key)
