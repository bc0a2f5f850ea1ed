"""SIGINT, SIGTERM, SIGHUP and SIGUSR1 end a run in order: the running step is finished and its state saved.

While a `handled` block runs, a signal raises `Stopped` at once; within `postponed` it is only noted, and
`poll` raises it where the caller can be left. A second signal of the same kind ends the process as if nothing
of this were here. `jld.toolchain` keeps Jittor from installing its own handler of SIGINT, which leaves the
process with status 1. SIGUSR1 is what `mpirun` hands on to its ranks and leaves them time for; of the others
it ends them at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

from jld.utils.distributed import world_size
from jld.utils.logging import get_logger

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_state = {"noted": 0, "postponed": 0, "depth": 0}


class Stopped(SystemExit):
    """A signal asks the run to end; its code is the shell's for that signal, 128 + its number.

    Attributes:
        number: of the signal.
        in_order: raised by `poll`, so on every rank; otherwise an error has come first.
        saved: a sentence about what was saved and how to go on, "" if there is nothing to say.
    """

    def __init__(self, number: int, in_order: bool = True):
        super().__init__(128 + number)
        self.number, self.in_order = number, in_order
        self.saved = ""

    def __str__(self) -> str:
        return f"stopped by {signal.Signals(self.number).name}. {self.saved}".rstrip()


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Turns the signals into `Stopped`; the outermost block says so in the log.

    In an interactive session SIGINT then becomes a KeyboardInterrupt, which leaves the session alive.
    Outside of the main thread, where Python allows no handlers, it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in previous.items():
        # A program started by nohup is not to end with its terminal.
        if number == signal.SIGINT or handler is not signal.SIG_IGN:
            signal.signal(number, _receive)
    _state["depth"] += 1
    try:
        yield
        # One of several ranks would end the others with it.
        if _state["noted"] and _state["depth"] == world_size() == 1:
            stop = Stopped(_state["noted"])
            stop.saved = "Everything was done by then."
            raise stop
    except Stopped as stop:
        if _state["depth"] > 1:
            raise
        get_logger("run").warning("%s", stop)
        if stop.number == signal.SIGINT and hasattr(sys, "ps1"):
            raise KeyboardInterrupt(str(stop)) from None
        raise
    finally:
        _state["depth"] -= 1
        if not _state["depth"]:
            _state["noted"] = 0
        for number, handler in previous.items():
            # None: a handler that was not installed from Python, such as Jittor's.
            signal.signal(number, signal.default_int_handler if handler is None else handler)


def is_handled() -> bool:
    """Whether this is within a `handled` block."""
    return _state["depth"] > 0


@contextlib.contextmanager
def postponed() -> Iterator[None]:
    """Within the block signals are noted and raised by `poll` alone; an error after one counts as the stop.

    Errors then come from children that the same signal has ended: compilers, data workers.
    """
    _state["postponed"] += 1
    try:
        yield
    except Exception as error:
        if not _state["noted"]:
            raise
        raise Stopped(_state["noted"], in_order=False) from error
    finally:
        _state["postponed"] -= 1


def poll(agreed: Callable[[int], int] = int) -> None:
    """Raises `Stopped` if a signal was noted.

    Args:
        agreed: the number of the signal on this rank (0 is none) -> the one all ranks act on.
    """
    noted = agreed(_state["noted"])
    if noted:
        raise Stopped(noted)


def poll_alone() -> None:
    """`poll` where other ranks do not come at the same time; under `mpirun` it leaves that to the next."""
    if world_size() == 1:
        poll()


@contextlib.contextmanager
def saved_when_stopped(save: Callable[[Stopped], str]) -> Iterator[None]:
    """Calls `save` when the block is stopped; its sentence becomes part of what is said."""
    try:
        with postponed():
            yield
    except Stopped as stop:
        _state["postponed"] += 1
        try:
            stop.saved = save(stop)
        finally:
            _state["postponed"] -= 1
        raise


def _leave_to_parent() -> None:
    """In a forked child, such as Jittor's compilers: SIGTERM ends it as ever, the others are for the parent.

    What it compiles then becomes ready although Ctrl-C reaches all processes of a terminal.
    """
    if _state["depth"]:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_DFL if number == signal.SIGTERM else signal.SIG_IGN)


os.register_at_fork(after_in_child=_leave_to_parent)


def _receive(number: int, frame: object) -> None:
    # The kernel does it at once when asked again: a kernel that compiles can take a minute.
    signal.signal(number, signal.SIG_DFL)
    _state["noted"] = number
    if not _state["postponed"]:
        raise Stopped(number)
