"""jld and PyTorch in turn, on quiet and on busy cores, and their times side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from projects.benchmark.clock import TIMING_COLUMNS, Timing
from projects.benchmark.peer import TorchPeer
from projects.benchmark.scene import Settings

# Repetitions by one framework before the other's turn: other work on the machine meets both.
WINDOW = 5
# Ends with the program that started it, however that ends.
BUSY_LOOP = """
import os
parent = os.getppid()
while os.getppid() == parent:
    for _ in range(10**6):
        pass
"""

Timings = dict[str, Timing]
"""{row: Timing}"""
Task = Callable[[int], Timings]
"""Measures something that many times."""


def alternate(
    tasks: Mapping[str, Task], peer: TorchPeer | None, settings: Settings, *, warm: Collection[str] = ()
) -> tuple[Timings, Timings]:
    """Warms up jld and the peer, then measures them in turn.

    Args:
        tasks: {name, which the peer knows too: measurement by jld}.
        peer: measured in turn, or None.
        settings: repetitions and warm-up.
        warm: tasks that jld has warmed up already.
    Returns:
        {row: Timing} of jld, and of the peer (empty without one).
    """
    for name, task in tasks.items():
        if name not in warm:
            task(settings.warmup)
        if peer is not None:
            peer.times(name, settings.warmup)
    ours: Timings = {}
    theirs: Timings = {}
    for start in range(0, settings.steps, WINDOW):
        count = min(WINDOW, settings.steps - start)
        for name, task in tasks.items():
            _add(ours, task(count))
            if peer is not None:
                _add(theirs, peer.times(name, count))
    return ours, theirs


def on_busy_cores(
    name: str, task: Task, peer: TorchPeer | None, settings: Settings
) -> tuple[str, Timings, Timings]:
    """What `alternate` gives for one warm task while a busy loop runs on every core, with the row's name."""
    row = f"{name}, busy cores"
    with busy_cores():
        ours, theirs = alternate({name: task}, peer, settings, warm=(name,))
    return row, {row: ours[name]}, {row: theirs[name]} if theirs else {}


def slow_down(
    name: str, row: str, ours: Mapping[str, Timing], theirs: Mapping[str, Timing]
) -> dict[str, float]:
    """How many times as long a task takes on busy cores, by medians.

    Args:
        name: row of the quiet measurement.
        row: row of the busy one.
        ours, theirs: {row: Timing}, the second maybe empty.
    """
    sides = {"jld": ours, "torch": theirs}
    return {
        f"{name} on busy cores, times as long, {side}": timings[row].median / timings[name].median
        for side, timings in sides.items()
        if timings
    }


@contextmanager
def busy_cores() -> Iterator[int]:
    """Keeps every usable core busy with one process each, inside a `with` block; gives their number."""
    count = len(os.sched_getaffinity(0))
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", BUSY_LOOP]))
            stack.callback(process.kill)
        yield count


def side_by_side(ours: Mapping[str, Timing], theirs: Mapping[str, Timing], labels: Mapping[str, str]) -> dict:
    """`columns` and `rows` of a Report.

    Args:
        ours: {row: Timing} of jld.
        theirs: {row: Timing} of the peer; empty: jld alone.
        labels: {row: its name in the table}, in the order of the table.
    """
    columns: tuple[str, ...] = ("", *TIMING_COLUMNS)
    rows: list[tuple[Any, ...]] = [(label, ours[row]) for row, label in labels.items()]
    if theirs:
        columns = ("", "jld " + TIMING_COLUMNS[0], *TIMING_COLUMNS[1:])
        columns += ("torch " + TIMING_COLUMNS[0], *TIMING_COLUMNS[1:], "jld / torch", "in CPU time")
        rows = []
        for row, label in labels.items():
            mine, other = ours[row], theirs[row]
            ratios = (mine.median / other.median, mine.cpu_median / other.cpu_median)
            rows.append((label, mine, other, *ratios))
    return {"columns": columns, "rows": rows}


def _add(all_timings: Timings, new: Mapping[str, Timing]) -> None:
    for row, timing in new.items():
        all_timings[row] = all_timings[row] + timing if row in all_timings else timing
