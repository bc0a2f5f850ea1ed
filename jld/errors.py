"""The errors jld raises on purpose: each message is one sentence a user can act on."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class JldError(ValueError):
    """Base of all deliberate errors; the command line prints them without a traceback."""


class ConfigError(JldError):
    """A config file holds something that cannot be run."""


class DataError(JldError):
    """A dataset, image or annotation cannot be used."""


class CheckpointError(JldError):
    """A checkpoint cannot be read, does not fit the model, or holds something that is not data."""


class TrainingError(JldError):
    """Training cannot go on, for example because a loss is not finite."""


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
