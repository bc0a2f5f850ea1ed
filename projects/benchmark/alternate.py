"""jld and its peers in turn, on quiet and on busy cores, and their times side by side."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any

from projects.benchmark.clock import TIMING_COLUMNS, Timing
from projects.benchmark.peer import TorchPeer
from projects.benchmark.scene import Settings

JLD = "jld"
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
Sides = dict[str, Timings]
"""{"jld" or a peer's name: its Timings}"""
Task = Callable[[int], Timings]
"""Measures something that many times."""


def alternate(
    tasks: Mapping[str, Task],
    peers: Mapping[str, TorchPeer],
    settings: Settings,
    *,
    warm: Collection[str] = (),
    window: int = WINDOW,
) -> Sides:
    """Warms up jld and the peers, then measures them in turn.

    Args:
        tasks: {name, which the peers know too: measurement by jld}.
        peers: {side: peer}, measured in turn.
        settings: repetitions and warm-up.
        warm: tasks that everybody has warmed up already, or jld alone.
        window: repetitions of a task before the next one's turn.
    """
    for name, task in tasks.items():
        if name not in warm:
            task(settings.warmup)
        for peer in peers.values():
            peer.times(name, settings.warmup)
    sides: Sides = {side: {} for side in (JLD, *peers)}
    for start in range(0, settings.steps, window):
        count = min(window, settings.steps - start)
        for name, task in tasks.items():
            _add(sides[JLD], task(count))
            for side, peer in peers.items():
                _add(sides[side], peer.times(name, count))
    return sides


def add_busy_row(
    sides: Sides, name: str, task: Task, peers: Mapping[str, TorchPeer], settings: Settings
) -> tuple[str, dict[str, float]]:
    """Measures a warm task once more while a busy loop runs on every core, as one more row of `sides`.

    Returns:
        the row's name; {fact: how many times as long as the quiet one, by medians}.
    """
    row, facts = f"{name}, busy cores", {}
    with busy_cores():
        busy = alternate({name: task}, peers, settings, warm=(name,))
    for side, timings in busy.items():
        if timings:
            sides[side][row] = timings[name]
            ratio = timings[name].median / sides[side][name].median
            facts[f"{name} on busy cores, times as long, {side}"] = ratio
    return row, facts


@contextmanager
def busy_cores() -> Iterator[int]:
    """Keeps every usable core busy with one process each, inside a `with` block; gives their number."""
    count = len(os.sched_getaffinity(0))
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", BUSY_LOOP]))
            stack.callback(process.kill)
        yield count


def side_by_side(sides: Sides, labels: Mapping[str, str]) -> dict[str, Any]:
    """`columns` and `rows` of a Report; with two peers, ratios to each and to the faster one.

    Args:
        sides: a side that lacks a row, because it failed, gets no column.
        labels: {row: its name in the table}, in the order of the table.
    """
    ours = sides[JLD]
    others = {side: times for side, times in sides.items() if side != JLD and labels.keys() <= times.keys()}
    columns: tuple[str, ...] = ("", *TIMING_COLUMNS)
    if others:
        rivals = [*others, *(["the faster"] if len(others) > 1 else [])]
        heads = [(f"{side} {TIMING_COLUMNS[0]}", *TIMING_COLUMNS[1:]) for side in (JLD, *others)]
        heads += [(f"jld / {rival}", "in CPU time") for rival in rivals]
        columns = ("", *chain(*heads))
    rows = []
    for row, label in labels.items():
        mine, theirs = ours[row], [times[row] for times in others.values()]
        rivals = [*theirs, *([min(theirs, key=lambda timing: timing.median)] if len(theirs) > 1 else [])]
        ratios = [(mine.median / rival.median, mine.cpu_median / rival.cpu_median) for rival in rivals]
        rows.append((label, mine, *theirs, *chain(*ratios)))
    return {"columns": columns, "rows": rows}


def _add(all_timings: Timings, new: Mapping[str, Timing]) -> None:
    for row, timing in new.items():
        all_timings[row] = all_timings[row] + timing if row in all_timings else timing
