"""MPI: whether this process is one of several that an `mpirun` started, and what Jittor is built with for it.

Jittor 1.3.11 joins the processes while it is imported, knows Open MPI alone, and asks the compiler wrapper
`mpicc` how to link it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jld.toolchain.findings import Finding, ToolchainError

WHEEL = 'pip install -e ".[mpi]"'
_SIZE, _LOCAL_SIZE = "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"
# What an Open MPI launcher gives its processes.
_LAUNCHER_PREFIXES = ("OMPI_", "PMIX_", "PRTE_")


def inside_mpi() -> bool:
    """Whether an Open MPI launcher started this process."""
    return _SIZE in os.environ


def find_mpicc() -> Path | None:
    """Open MPI's compiler wrapper: that of `mpicc_path`, of this environment (the wheel's) or on PATH."""
    if "mpicc_path" in os.environ:
        return Path(os.environ["mpicc_path"]) if os.environ["mpicc_path"] else None
    beside = Path(sys.executable).parent / "mpicc"  # an environment need not be on PATH
    found = str(beside) if beside.is_file() else shutil.which("mpicc")
    return Path(found) if found else None


def check_mpi() -> Finding:
    """Open MPI, needed by processes that `mpirun` started and by no others."""
    if not inside_mpi() and int(os.environ.get("PMI_SIZE", "1")) > 1:
        return Finding(
            "MPI",
            False,
            "started by a launcher that is not Open MPI's, and Jittor knows that one alone",
            f"Start with Open MPI's mpirun: {WHEEL}",
        )
    if inside_mpi() and os.environ.get("use_mpi") == "0":
        return Finding("MPI", False, "started by mpirun, but use_mpi is 0", "Unset use_mpi.")
    mpicc = find_mpicc()
    if mpicc is None:
        needed = inside_mpi()
        cure = f"{WHEEL}, or set mpicc_path to the mpicc of this mpirun."
        return Finding("MPI", not needed, f"no mpicc: one process only ({WHEEL})", cure if needed else "")
    version = _version_of(mpicc)
    if not version:
        said = f"{mpicc} is not Open MPI's: one process only"
        return Finding("MPI", not inside_mpi(), said, WHEEL if inside_mpi() else "")
    return Finding("MPI", True, f"{version} at {mpicc}")


def mpi_settings() -> dict[str, str]:
    """What Jittor and OpenMP read from the environment: MPI inside `mpirun`, a rank's share of the cores."""
    if not inside_mpi():
        return {"use_mpi": "0"}
    settings = {"use_mpi": "1", "mpicc_path": str(find_mpicc() or "")}
    ranks = int(os.environ.get(_LOCAL_SIZE, "1"))
    if ranks > 1:
        # mpirun binds small jobs to a core per rank: then there is no more than that to share.
        share = (os.cpu_count() or 1) // ranks
        settings["OMP_NUM_THREADS"] = str(max(1, min(share, len(os.sched_getaffinity(0)))))
    return settings


def environment_of_one() -> dict[str, str]:
    """This process's environment without the marks of the launcher: a child must not join the ranks."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_LAUNCHER_PREFIXES)} | {
        "use_mpi": "0"
    }


def check_joined(jittor: Any, environment: Mapping[str, str] = os.environ) -> None:
    """Stops a rank that does not see the others: each would train alone and write over their files.

    Raises:
        ToolchainError: see above.
    """
    started = int(environment.get(_SIZE, "1"))
    if jittor.world_size != started:
        raise ToolchainError(
            f"mpirun started {started} processes, but Jittor sees {jittor.world_size}: it was built with "
            f"{environment.get('mpicc_path') or 'an mpicc on PATH'}, which does not belong to this mpirun; "
            "set mpicc_path to the mpicc beside it."
        )


def _version_of(mpicc: Path) -> str:
    """Such as "Open MPI 5.0.11"; empty for another MPI."""
    try:
        done = subprocess.run(
            [mpicc, "--showme:version"], capture_output=True, text=True, check=False, timeout=10
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    said = re.search(r"Open MPI \S+", done.stdout + done.stderr)
    return said.group() if said else ""
