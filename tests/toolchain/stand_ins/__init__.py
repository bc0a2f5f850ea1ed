"""Stand-ins for NVIDIA's driver and libraries: CUDA code is compiled, linked and dispatched without a GPU.

Every function that a real library exports exists and returns 0; a few answer what their callers use. Kernels
do not run, so results mean nothing.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
LIBRARIES = (
    *("cudart", "cublas", "cublasLt", "curand", "cufft", "cusparse"),
    *("cudnn", "cudnn_ops", "cudnn_cnn", "cudnn_adv", "cudnn_graph", "cudnn_heuristic"),
)


def make_driver(folder: Path) -> Path:
    """Builds `libcuda.so.1` in `folder` and returns it; the environment says which cards it has."""
    folder.mkdir(parents=True, exist_ok=True)
    library = folder / "libcuda.so.1"
    _compile(library, HERE / "driver.cpp")
    (folder / "libcuda.so").symlink_to(library.name)
    return library


def replace_libraries(home: Path) -> None:
    """Puts stand-ins in the place of the libraries of a CUDA home made of links."""
    for name in LIBRARIES:
        link = home / "lib64" / f"lib{name}.so"
        if link.exists():
            _replace(home, name, link.resolve())


def _replace(home: Path, name: str, real: Path) -> None:
    told = _output("readelf", "-d", str(real))
    soname = re.search(r"SONAME.*\[(.*)\]", told)[1]
    own = HERE / f"{name}.cpp"
    answered = set(re.findall(r"\b_*cu\w+", own.read_text())) if own.is_file() else set()
    entries = {line.split()[-1].split("@")[0] for line in _symbols(real)} - answered
    assembly = home / f"{name}.S"
    lines = [
        line
        for entry in sorted(entries)
        for line in (f".globl {entry}", f".type {entry},@function", f"{entry}:")
    ]
    assembly.write_text(
        "\n".join([".text", *lines, "xorl %eax,%eax", "ret", '.section .note.GNU-stack,"",@progbits', ""])
    )
    links = [path for path in (home / "lib64").iterdir() if path.resolve() == real]
    for path in links:
        path.unlink()
    library = home / "lib64" / soname
    sources = [assembly, own] if own.is_file() else [assembly]
    _compile(library, *sources, includes=[home / "include"], soname=soname)
    for path in links:
        if path != library:
            path.symlink_to(soname)


def _symbols(library: Path) -> list[str]:
    lines = _output("nm", "-D", "--defined-only", str(library)).splitlines()
    return [line for line in lines if len(line.split()) == 3 and line.split()[1] in "TWiV"]


def _compile(library: Path, *sources: Path, includes: list[Path] = (), soname: str | None = None) -> None:
    options = ["-shared", "-fPIC", "-O1", "-w", *(f"-I{folder}" for folder in includes)]
    options.append(f"-Wl,-soname,{soname or library.name}")
    subprocess.run(["g++", *options, *map(str, sources), "-o", str(library)], check=True)


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
