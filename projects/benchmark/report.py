"""What a benchmark returns: a table, facts, and the machine it ran on; as text and as plain data."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jld.toolchain import jittor as jt
from jld.utils.environment import environment_report
from projects.benchmark.clock import Timing


@dataclass
class Report:
    """One table of measurements.

    Attributes:
        title: what was measured, with its settings.
        columns: heads of the columns.
        rows: cells: text, numbers, or a Timing, which fills the three `TIMING_COLUMNS`.
        facts: {name: value} that belong to the table as a whole.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)

    def as_text(self) -> str:
        """The table, then one line per fact."""
        cells = [self.columns, *(_flat(row) for row in self.rows)]
        lines = [self.title, "", *_aligned(cells)]
        if self.facts:
            width = max(map(len, self.facts))
            lines += ["", *(f"{name.ljust(width)}  {_text(value)}" for name, value in self.facts.items())]
        return "\n".join(lines)

    def as_data(self) -> dict[str, Any]:
        """Everything as JSON-ready data; a Timing is {"ms": [...], "cpu_ms": [...]}."""
        rows = [[_plain(cell) for cell in row] for row in self.rows]
        return {"title": self.title, "columns": list(self.columns), "rows": rows, "facts": self.facts}


def machine_report() -> dict[str, Any]:
    """Machine, load, versions, threads and command line of this process."""
    environment = environment_report()
    packages = environment["packages"]
    return {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} cores usable",
        "device": "cuda" if jt.flags.use_cuda else "cpu",
        "gpus": ", ".join(environment["gpus"]) or "none",
        "load": " ".join(f"{value:.1f}" for value in os.getloadavg()) + " (1, 5, 15 minutes)",
        "threads": f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'unset')}, "
        f"OMP_WAIT_POLICY={os.environ.get('OMP_WAIT_POLICY', 'unset')}, "
        f"GOMP_SPINCOUNT={os.environ.get('GOMP_SPINCOUNT', 'unset')}",
        "versions": f"jittor {packages['jittor']}, oneDNN {packages['onednn-cpu-gomp']}, "
        f"Python {environment['python']}, numpy {packages['numpy']}",
        "compiler": environment["compiler"],
        "commit": environment["commit"],
        "command": shlex.join(environment["command"]),
    }


def machine_text(machine: dict[str, Any]) -> str:
    """One line per entry."""
    return "\n".join(f"{name.ljust(10)}  {_text(value)}" for name, value in machine.items())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def _plain(cell: Any) -> Any:
    if isinstance(cell, Timing):
        return {"ms": list(cell.milliseconds), "cpu_ms": list(cell.cpu_milliseconds)}
    return cell


def _flat(row: Sequence[Any]) -> tuple[str, ...]:
    cells: list[str] = []
    for cell in row:
        cells += cell.cells() if isinstance(cell, Timing) else [_text(cell)]
    return tuple(cells)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if k == 0 else cell.rjust(width)
            for k, (cell, width) in enumerate(zip(row, widths))
        ]
        lines.append("  ".join(cells).rstrip())
    return lines


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)
