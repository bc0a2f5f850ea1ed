"""What is checked about Python, its packages and the compiler before Jittor is imported."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from jld.toolchain.cache import jittor_cache_root


class ToolchainError(RuntimeError):
    """The machine lacks something Jittor needs; the message is one sentence with the cure."""


@dataclass(frozen=True)
class Finding:
    """One checked fact about the machine.

    Attributes:
        name: what was looked at.
        ok: whether jld can work with it.
        detail: what was found.
        cure: what to type when it is not ok or could be better, else an empty string.
    """

    name: str
    ok: bool
    detail: str
    cure: str = ""


def check_python() -> Finding:
    """Python 3.11 or 3.12 (numpy 1.26 has no wheels for later versions)."""
    version = ".".join(map(str, sys.version_info[:3]))
    ok = (3, 11) <= sys.version_info[:2] <= (3, 12)
    return Finding("python", ok, version, "" if ok else "Create the environment with Python 3.11 or 3.12.")


def check_numpy() -> Finding:
    """NumPy below 2: Jittor 1.3.11 reads NumPy 1's C structures and returns garbage under NumPy 2."""
    try:
        version = importlib.metadata.version("numpy")
    except importlib.metadata.PackageNotFoundError:
        return Finding("numpy", False, "not installed", 'pip install "numpy<2"')
    ok = int(version.split(".")[0]) < 2
    cure = "" if ok else 'Jittor reads garbage from NumPy 2 arrays: pip install "numpy<2"'
    return Finding("numpy", ok, version, cure)


def check_compiler() -> Finding:
    """A C++ compiler: Jittor compiles itself and every fused kernel."""
    path = os.environ.get("cc_path") or shutil.which("g++")
    if path:
        return Finding("compiler", True, path)
    return Finding(
        "compiler", False, "no g++ on PATH", "Install g++ (Debian, Ubuntu: apt-get install g++; conda: gxx)."
    )


def check_python_headers() -> Finding:
    """Python.h, needed because Jittor is a compiled extension."""
    folder = Path(sysconfig.get_paths()["include"])
    if (folder / "Python.h").is_file():
        return Finding("python headers", True, str(folder))
    package = f"python{sys.version_info.major}.{sys.version_info.minor}-dev"
    return Finding("python headers", False, f"no Python.h in {folder}", f"apt-get install {package}")


def check_jittor() -> Finding:
    """Jittor's package, looked at without importing it."""
    try:
        version = importlib.metadata.version("jittor")
    except importlib.metadata.PackageNotFoundError:
        return Finding("jittor", False, "not installed", 'pip install "jittor>=1.3.11,<2"')
    ok = tuple(int(x) for x in version.split(".")[:3]) >= (1, 3, 11) and not version.startswith("2")
    return Finding("jittor", ok, version, "" if ok else 'pip install "jittor>=1.3.11,<2"')


def check_home() -> Finding:
    """A writable folder for Jittor's compiled kernels."""
    root = jittor_cache_root()
    probe = root
    while not probe.exists():
        probe = probe.parent
    ok = os.access(probe, os.W_OK)
    cure = "" if ok else f"Make {probe} writable or set HOME to a folder that is."
    return Finding("kernel cache", ok, str(root), cure)
