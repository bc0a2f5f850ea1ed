"""What all command lines do with errors of their user: one sentence on stderr, and exit code 2."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import Any

from jld.errors import JldError, visible
from jld.utils import stopping

FAILED = 2


def program(main: Callable[..., int | None]) -> Callable[..., int]:
    """Makes a function of a command line return its exit code: 0 for None, and that of `guarded`."""

    @functools.wraps(main)
    def coded(*arguments: Any, **keywords: Any) -> int:
        return guarded(lambda: main(*arguments, **keywords))

    return coded


def guarded(work: Callable[[], int | None], debug: bool = False) -> int:
    """The exit code of a command, errors of the user as sentences.

    Args:
        work: gives the exit code; None is 0. Within another guarded one its errors are left to that.
        debug: print their tracebacks.
    """
    if stopping.is_handled():
        return work() or 0
    try:
        with stopping.handled():
            return work() or 0
    except JldError as error:
        return fail(error, debug)
    except BrokenPipeError:  # `jld list | head`: nobody reads on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # Whatever reads or writes a file names it; a full disk can meet any of them.
        return fail(error, debug, f"{error.filename or 'a file'}: {error.strerror or error}.")
    except RuntimeError as error:
        # jld.toolchain cannot use jld.errors: it also runs where nothing else can be imported.
        if type(error).__name__ != "ToolchainError":
            raise
        return fail(error, debug)
    except stopping.Stopped as stop:
        return 128 + stop.number
    except KeyboardInterrupt:
        print("stopped; the last checkpoint can be continued with --resume.", file=sys.stderr)
        return 130


def fail(error: Exception, debug: bool = False, text: str = "") -> int:
    """Prints an error as a sentence (or with its traceback) and returns the exit code."""
    if debug:
        import traceback

        traceback.print_exception(error)
    else:
        print(f"jld: {visible(text or str(error))}", file=sys.stderr)
    return FAILED
