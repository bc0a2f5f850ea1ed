"""What can be wrong with a dataset, and how it is shown to a user: all of it, in one message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from jld.errors import DataError, visible

SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """One finding: an `error` stops training, a `warning` says what is dropped or clipped."""

    severity: str
    message: str
    file: str = ""
    line: int | None = None

    def __str__(self) -> str:
        file = printable(self.file)
        where = f"{file}:{self.line}: " if self.line else f"{file}: " if file else ""
        return f"{where}{self.message}"


def printable(text: object) -> str:
    """A name as one line that every terminal and log can take: what is no character of text is escaped."""
    return visible(str(text), keep="")


def error(message: str, file: object = "", line: int | None = None) -> Problem:
    """A problem that stops training."""
    return Problem("error", message, str(file), line)


def warning(message: str, file: object = "", line: int | None = None) -> Problem:
    """A problem that training survives."""
    return Problem("warning", message, str(file), line)


def errors_of(problems: Iterable[Problem]) -> list[Problem]:
    """Only those that stop training."""
    return [problem for problem in problems if problem.severity == "error"]


def listing(problems: Sequence[Problem], limit: int = SHOWN) -> str:
    """One line per problem, the first `limit` of them, then how many more there are."""
    lines = [f"  {problem}" for problem in problems[:limit]]
    if len(problems) > limit:
        lines.append(f"  ... and {len(problems) - limit} more.")
    return "\n".join(lines)


def raise_errors(problems: Sequence[Problem], name: str) -> None:
    """Stops with the list of errors, if there is any.

    Args:
        problems: findings; warnings among them are passed over.
        name: what was read, for the first line.
    Raises:
        DataError: at least one finding is an error.
    """
    found = errors_of(problems)
    if found:
        count = f"{len(found)} problem{'s' if len(found) > 1 else ''}"
        raise DataError(f"{name} has {count} that must be mended before training:\n{listing(found)}")
