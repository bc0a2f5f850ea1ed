"""The first training step on a machine that has compiled nothing yet, not even Jittor."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from projects.benchmark.report import Report
from projects.benchmark.scene import Settings

# Run by a fresh interpreter; {use_cuda} and {settings} are filled in.
FIRST_STEPS = """
import json, resource
from jld.apis import register_parts
from projects.benchmark.clock import loaded_kernels, timing_between
from projects.benchmark.scene import Settings, make_distiller, make_student, random_batch
from projects.benchmark.train import make_loop, run_steps
from jld.toolchain import jittor as jt
jt.flags.use_cuda = {use_cuda}
register_parts()
settings = Settings(**{settings})
student = make_student(settings)
loop = make_loop(student, make_distiller(settings, student), random_batch(settings), settings.precision)
spans = run_steps(loop, 4)
first, steady = timing_between(spans[:1]), timing_between(spans[1:])
compilers = resource.getrusage(resource.RUSAGE_CHILDREN)
first_cpu = first.cpu_median / 1e3 + compilers.ru_utime + compilers.ru_stime
rows = [(first.median / 1e3, first_cpu), (steady.median / 1e3, steady.cpu_median / 1e3)]
print(json.dumps([rows, loaded_kernels()]))
"""
PREFIX = "jld-cold-"
# Under the cache: kernels, and headers that were compiled for them.
KERNELS = ("jit", "jld_prefix")
IMPORT = "from jld.toolchain import jittor as jt; print(jt.flags.cache_path)"


def benchmark_cold(settings: Settings, detectors: Sequence[str] = (), *, use_cuda: bool = False) -> Report:
    """Import and first steps in an empty cache, which is removed at the end.

    With `cache_name=jld-cold-...` in the environment that cache is used and stays, Jittor in it as well: only
    kernels are removed, and compiled again.

    Args:
        settings: sizes of the training step; four are run.
        detectors: several, each without the kernels of the others; none: that of the settings.
        use_cuda: compile for the GPU.
    Raises:
        subprocess.CalledProcessError: a step failed; its messages are on stderr.
    """
    kept = os.environ.get("cache_name", "")
    name = kept if kept.startswith(PREFIX) else f"{PREFIX}{os.getpid()}"
    steps = [replace(settings, detector=detector) for detector in detectors or [settings.detector]]
    rows: list[tuple] = []
    facts: dict[str, Any] = {}
    cache = ""
    try:
        first_import, cache = _timed(IMPORT, name)
        later_import, _ = _timed(IMPORT, name)
        rows += [] if name == kept else [("first import: Jittor compiles itself", *first_import)]
        rows.append(("every later import", *later_import))
        for each in steps:
            for folder in KERNELS:
                shutil.rmtree(Path(cache) / folder, ignore_errors=True)
            _, printed = _timed(FIRST_STEPS.format(use_cuda=int(use_cuda), settings=asdict(each)), name)
            (first_step, steady_step), kernels = json.loads(printed)
            rows += [
                (f"{each.pair()}: first training step, kernels are compiled", *first_step),
                (f"{each.pair()}: steady step, median of three", *steady_step),
            ]
            facts[f"{each.pair()}: kernels compiled"] = kernels
    finally:
        # Only a folder with the name made up above: the other caches are the user's.
        if name != kept and Path(cache).name.startswith(name):
            shutil.rmtree(cache, ignore_errors=True)
    return Report(f"cold start, batch {settings.size()}", ("", "seconds", "CPU s"), rows, facts)


def _timed(program: str, cache_name: str) -> tuple[tuple[float, float], str]:
    """((seconds, CPU seconds), last printed line) of a Python program in the kernel cache of that name."""
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH", ""))))
    environment: dict[str, Any] = {**os.environ, "cache_name": cache_name, "PYTHONPATH": paths}
    start, cpu_before = time.perf_counter(), _cpu_of_children()
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    seconds = time.perf_counter() - start, _cpu_of_children() - cpu_before
    return seconds, (done.stdout.splitlines() or [""])[-1]


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
