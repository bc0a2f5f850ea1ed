"""The errors jld raises on purpose: each message is one sentence a user can act on."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

T = TypeVar("T")
# Control, format (text direction) and lone surrogate characters, line and paragraph separators.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class JldError(ValueError):
    """Base of all deliberate errors; the command line prints them without a traceback.

    Control characters of names in the message are spelled out, so that no file name acts on the terminal.
    """

    def __str__(self) -> str:
        return visible(super().__str__())


class ConfigError(JldError):
    """A config file holds something that cannot be run."""


class DataError(JldError):
    """A dataset, image or annotation cannot be used."""


class CheckpointError(JldError):
    """A checkpoint cannot be read, does not fit the model, or holds something that is not data."""


class TrainingError(JldError):
    """Training cannot go on, for example because a loss is not finite."""


def visible(text: str, keep: str = "\n\t") -> str:
    r"""The text with every character that moves, colours or hides others spelled out, such as `\x1b`.

    Args:
        keep: characters left as they are.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        char if char in keep or unicodedata.category(char) not in _HIDDEN else ascii(char)[1:-1]
        for char in text
    )


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name most like `name` (case ignored), or None when nothing is close."""
    by_lower = {str(candidate).lower(): str(candidate) for candidate in known}
    matches = difflib.get_close_matches(str(name).lower(), by_lower, n=1, cutoff=0.5)
    return by_lower[matches[0]] if matches else None


def suggestion(name: str, known: Iterable[str], limit: int = 8) -> str:
    """The end of an error sentence: " did you mean 'x'?" or the list of what exists."""
    known = sorted(map(str, known))
    match = nearest(name, known)
    if match is not None:
        return f"did you mean {match!r}?"
    shown = ", ".join(known[:limit]) + (", ..." if len(known) > limit else "")
    return f"known are: {shown}." if known else "none is registered."


def one_of(value: T, known: Collection[Any], said: str) -> T:
    """The value itself, which must be one of `known`.

    Args:
        said: the sentence about a value that is not, up to its colon: "unknown style 'x'".
    Raises:
        ConfigError: the sentence, and the nearest known one.
    """
    if value not in known:
        raise ConfigError(f"{said}: {suggestion(str(value), known)}")
    return value
