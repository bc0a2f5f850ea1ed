"""Starts the processes of an `mpirun` for the tests that need several ranks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jld.toolchain.mpi import find_mpicc

ROOT = Path(__file__).resolve().parents[1]
_BESIDE = Path(sys.executable).parent / "mpirun"
MPIRUN = str(_BESIDE) if _BESIDE.is_file() else shutil.which("mpirun")
needs_mpi = pytest.mark.skipif(
    MPIRUN is None or find_mpicc() is None, reason='needs Open MPI: pip install -e ".[mpi]"'
)


def run_ranks(ranks, *command, paths=()):
    """Runs `python *command` in so many processes and waits for all; a job that hangs fails its test."""
    # Without what the import of Jittor has set for this one process.
    environment = {name: value for name, value in os.environ.items() if name != "use_mpi"}
    # With the same number of threads, sums are the same to the last digit whatever the number of ranks.
    environment["OMP_NUM_THREADS"] = "1"
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [ROOT, *paths]))
    # Bound to one core each, ranks of a small machine would wait for other programs on theirs.
    launcher = [MPIRUN, "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-np", str(ranks)]
    return subprocess.run(
        [*launcher, sys.executable, *map(str, command)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
