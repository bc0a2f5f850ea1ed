"""oneDNN, the library behind Jittor's CPU convolutions, put where Jittor expects its own download of it."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

from jld.toolchain.cache import jittor_cache_root, renew_link
from jld.toolchain.findings import Finding

# Jittor looks for exactly this folder before it tries to download it; any oneDNN 2.x serves.
ONEDNN_FOLDER = "dnnl_lnx_2.2.0_cpu_gomp"
ONEDNN_PACKAGES = ("onednn-cpu-gomp", "onednn-devel-cpu-gomp")


def check_onednn() -> Finding:
    """oneDNN, the library behind Jittor's CPU convolutions."""
    files = onednn_files()
    if files is not None:
        return Finding("oneDNN", True, f"{importlib.metadata.version(ONEDNN_PACKAGES[0])} at {files[1]}")
    linked = jittor_cache_root() / "mkl" / ONEDNN_FOLDER / "lib" / "libmkldnn.so"
    if linked.exists():
        return Finding("oneDNN", True, f"in Jittor's cache ({linked})")
    return Finding(
        "oneDNN",
        True,
        "not found: CPU convolutions run on slow generated loops",
        "pip install " + " ".join(f"{name}==2021.4.0" for name in ONEDNN_PACKAGES),
    )


def onednn_files() -> tuple[Path, Path] | None:
    """(header, library) of the pip-installed oneDNN, or None. The wheels install outside site-packages."""
    try:
        header = _installed_file(ONEDNN_PACKAGES[1], "dnnl.h")
        library = _installed_file(ONEDNN_PACKAGES[0], "libdnnl.so.2")
    except importlib.metadata.PackageNotFoundError:
        return None
    return None if header is None or library is None else (header, library)


def _installed_file(package: str, name: str) -> Path | None:
    for entry in importlib.metadata.files(package) or ():
        if entry.name == name and entry.parent.name != "dnnl":
            path = Path(entry.locate())
            if path.exists():
                return path.resolve() if name.endswith(".h") else path
    return None


def link_onednn() -> bool:
    """Puts oneDNN where Jittor expects its download; returns whether it is there.

    Links are renewed when they point elsewhere (another environment), since Jittor's cache is per user.
    Can go when Jittor accepts `mkl_include_path` and `mkl_lib_path` (1.3.11 crashes when both are set).
    """
    target = jittor_cache_root() / "mkl" / ONEDNN_FOLDER
    files = onednn_files()
    if files is None:
        return (target / "lib" / "libmkldnn.so").exists()
    header, library = files
    renew_link(target / "include", header.parent)
    for name in ("libmkldnn.so", "libdnnl.so.2", "libdnnl.so"):
        renew_link(target / "lib" / name, library)
    return True
