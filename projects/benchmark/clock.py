"""Measuring Jittor: times between device syncs, kernels in use, reads of values by the host, peak memory.

Jittor is lazy: a call only builds a graph. Every time taken here ends with `jt.sync_all(True)`, which runs
what is pending and waits for it.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from jld.toolchain import jittor as jt

# The ways Python gets at a value; each waits for everything the value depends on.
READING_METHODS = ("numpy", "fetch_sync", "item", "__array__")


@dataclass(frozen=True)
class Timing:
    """Repeated measurements of one thing.

    Attributes:
        milliseconds: from start to end.
        cpu_milliseconds: of work by all threads of the process meanwhile. Other work on the machine stretches
            the first number and hardly the second: divided by the threads it says what a quiet machine needs.
    """

    milliseconds: tuple[float, ...]
    cpu_milliseconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Half of the runs were faster."""
        return float(np.median(self.milliseconds))

    @property
    def cpu_median(self) -> float:
        """Half of the runs took less work."""
        return float(np.median(self.cpu_milliseconds))

    @property
    def quartiles(self) -> tuple[float, float]:
        """A quarter of the runs were faster than the first number, a quarter slower than the second."""
        low, high = np.percentile(self.milliseconds, (25, 75))
        return float(low), float(high)

    def __add__(self, other: Timing) -> Timing:
        """The measurements of both."""
        times = self.milliseconds + other.milliseconds
        return Timing(times, self.cpu_milliseconds + other.cpu_milliseconds)

    def cells(self) -> tuple[str, str, str]:
        """Median, quartiles and CPU time as text; `TIMING_COLUMNS` are their heads."""
        low, high = self.quartiles
        return f"{self.median:.1f}", f"{low:.1f} - {high:.1f}", f"{self.cpu_median:.1f}"


TIMING_COLUMNS = ("median ms", "quartiles", "CPU ms")


@dataclass(frozen=True)
class Moment:
    """A point in time, in s: of the clock, and of the work this process has done."""

    clock: float
    cpu: float


def wait() -> Moment:
    """Runs all that is pending, waits for the device, and returns the moment."""
    jt.sync_all(True)
    return Moment(time.perf_counter(), time.process_time())


def timing_between(spans: Sequence[tuple[Moment, Moment]]) -> Timing:
    """The Timing of (start, end) pairs."""
    return Timing(
        tuple((end.clock - start.clock) * 1e3 for start, end in spans),
        tuple((end.cpu - start.cpu) * 1e3 for start, end in spans),
    )


def measure(function: Callable[[], Any], steps: int, warmup: int) -> Timing:
    """Times `function` `steps` times after `warmup` untimed calls; results are held until computed."""
    spans = []
    for _ in range(warmup + steps):
        start = wait()
        result = function()
        spans.append((start, wait()))
        del result
    return timing_between(spans[warmup:])


@dataclass
class StageClock:
    """Times the stages of a step, each from one device sync to the next.

    Attributes:
        spans: {stage: (start, end) of every step}, in the order in which the stages first ran.
    """

    spans: dict[str, list[tuple[Moment, Moment]]] = field(default_factory=dict)

    def run(self, stage: str, function: Callable[[], Any]) -> Any:
        """`function()`, computed and timed."""
        start = wait()
        result = function()
        self.spans.setdefault(stage, []).append((start, wait()))
        return result

    def timings(self) -> dict[str, Timing]:
        """{stage: Timing}"""
        return {name: timing_between(spans) for name, spans in self.spans.items()}


def loaded_kernels(since: float = 0.0) -> int:
    """How many of Jittor's compiled kernels this process has loaded, if newer than `since` (epoch s)."""
    folder = str(Path(jt.flags.cache_path) / "jit")
    lines = Path("/proc/self/maps").read_text(encoding="utf-8").splitlines()
    files = {line.split(maxsplit=5)[-1] for line in lines if folder in line}
    return sum(file.endswith(".so") and Path(file).stat().st_mtime >= since for file in files)


def peak_memory_mib() -> float:
    """Largest resident memory of this process so far, in MiB (host memory: a GPU's is not in it)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def device_memory_mib() -> dict[str, float]:
    """{"GPU memory held, MiB"}: what Jittor's allocator has taken from the GPU; empty on the CPU.

    It keeps what it has taken, so this is nearly the peak.
    """
    return {"GPU memory held, MiB": jt.get_mem_info().total_cuda_used / 2**20} if jt.flags.use_cuda else {}


@contextmanager
def counted_reads() -> Iterator[dict[str, int]]:
    """Counts how often the host reads a Var inside a `with` block: {"numpy": 2, ...}.

    Every such read makes the host wait for the device. Operators that must know their result's size (nonzero,
    boolean indexing) wait as well, without a read; jld's training path has none.
    """
    counts: dict[str, int] = {}
    members, data = vars(jt.Var), vars(jt.Var)["data"]

    def counting(name: str, read: Callable) -> Callable:
        def counted(*args: Any, **kwargs: Any) -> Any:
            counts[name] = counts.get(name, 0) + 1
            return read(*args, **kwargs)

        return counted

    replaced: dict[str, Any] = {
        name: counting(name, members[name]) for name in READING_METHODS if name in members
    }
    replaced["data"] = property(counting("data", data.__get__), data.__set__)
    with mock.patch.multiple(jt.Var, **replaced):
        yield counts
