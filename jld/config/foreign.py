"""A section of another framework's config, read key by key so that nothing is passed over."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from jld.errors import ConfigError, suggestion

_ABSENT = object()


class Section:
    """One section of which every key has to be taken.

    Args:
        values: the section.
        path: where it stands, for messages.
        origin: whose config it is, for messages.
    Raises:
        ConfigError: it is no mapping; so do the methods where the section is not what they expect.
    """

    def __init__(self, values: Any, path: str, origin: str = "JDet"):
        if not isinstance(values, Mapping):
            raise ConfigError(f"{path}: must be dict(type=..., ...), got {values!r}.")
        self.values, self.path, self.origin, self.taken = values, path, origin, {"type"}

    @property
    def type(self) -> Any:
        """The name of what the section describes."""
        return self.values.get("type")

    def take(self, key: str, default: Any = _ABSENT) -> Any:
        """A value, or the other framework's default."""
        self.taken.add(key)
        if key not in self.values and default is _ABSENT:
            raise ConfigError(f"{self.path}.{key}: {self.origin}'s {self.type} needs this argument.")
        return self.values.get(key, default)

    def section(self, key: str, default: Any = _ABSENT) -> Section:
        """A section inside this one."""
        return Section(self.take(key, default), f"{self.path}.{key}", self.origin)

    def expect(self, key: str, *allowed: Any) -> None:
        """Takes a key of which jld has these values only; the first is the other framework's default."""
        value = self.take(key, allowed[0])
        if not any(_same(value, each) for each in allowed):
            raise ConfigError(f"{self.path}.{key}: {value!r} is not covered, only {allowed[0]!r}.")

    def choose(self, table: Mapping[str, Any] | Sequence[str]) -> Any:
        """The entry of a table under this section's type."""
        if self.type not in table:
            # No likeness: the other framework has it, and what is spelt like it is another thing.
            raise ConfigError(
                f"{self.path}: {self.origin}'s {self.type!r} is not covered, only {', '.join(table)}."
            )
        return table[self.type] if isinstance(table, Mapping) else self.type

    def copy(self, keys: Sequence[str]) -> dict[str, Any]:
        """Those of the keys that are given, as they are."""
        self.taken.update(keys)
        return {key: self.values[key] for key in keys if key in self.values}

    def finish(self) -> None:
        """Stops on keys that nobody took."""
        for key in self.values:
            if key not in self.taken:
                raise ConfigError(
                    f"{self.path}.{key}: {self.origin}'s {self.type} has no such key, or jld no counterpart; "
                    f"{suggestion(key, sorted(self.taken - {'type'}))}"
                )


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, list | tuple) and isinstance(other, list | tuple):
        return list(value) == list(other)
    return value == other
