"""A CUDA toolkit that Jittor 1.3.11 accepts, assembled from one it does not: links and a few small files.

Jittor looks for a compiler, headers and libraries in one folder and knows CUDA up to 12 and cuDNN up to 8.
CUDA 13, cuDNN 9 and the wheels of the package index differ in names, places and a handful of declarations.
The home made here has links to every header and library, the names Jittor asks for, and the files of
`cuda_overlay/`, each of which says what it mends and when it can go. Nothing of Jittor is copied or edited.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

OVERLAY = Path(__file__).resolve().parent / "cuda_overlay"
# What Jittor links, and the header it compiles against.
LIBRARIES = {
    "libcudart.so": "cuda_runtime.h",
    "libcublas.so": "cublas.h",
    "libcudnn.so": "cudnn.h",
    "libcurand.so": "curand.h",
    "libcufft.so": "cufft.h",
    "libcusparse.so": "cusparse.h",
}
# The libraries that Jittor loads by the names of cuDNN 8, and where cuDNN 9 has put them.
_CUDNN_8_NAMES = {"ops_infer": "ops", "ops_train": "ops", "cnn_infer": "cnn", "cnn_train": "cnn"}
# Files of the overlay that stand in for one of CUDA 13, and therefore only for those who have it.
_CUDA_13_ONLY = ("driver_types.h", "cub/cub.cuh")
# Raised when the layout of a home changes without a change of the overlay.
_LAYOUT = 1


def collect(headers: Iterable[Path], libraries: Iterable[Path]) -> dict[str, Path]:
    """Everything that a home links: name inside the home to the file or folder, the first of each name.

    Args:
        headers: files and folders for `include`; others than headers are passed over.
        libraries: files for `lib64`; others than libraries are passed over.
    """
    found: dict[str, Path] = {}
    for path in headers:
        if (path.is_dir() and not path.name.startswith("_")) or path.suffix in (".h", ".hpp", ".inl"):
            found.setdefault(f"include/{path.name}", path)
    for path in libraries:
        if re.search(r"\.so(\.\d+)*$|\.a$", path.name):
            found.setdefault(f"lib64/{path.name}", path)
    # The linker and Jittor ask for names without a version; wheels have none.
    for name, path in sorted(found.items()):
        unversioned = re.match(r"(lib64/lib.+?\.so)\.\d+", name)
        if unversioned:
            found.setdefault(unversioned[1], path)
    for old, new in _CUDNN_8_NAMES.items():
        if f"lib64/libcudnn_{new}.so" in found:
            found.setdefault(f"lib64/libcudnn_{old}.so", found[f"lib64/libcudnn_{new}.so"])
    return found


def missing_files(links: Mapping[str, Path], cuda_major: int) -> list[str]:
    """Names of libraries and headers without which Jittor cannot be built against these links."""
    wanted = [f"lib64/{name}" for name in LIBRARIES] + [f"include/{name}" for name in LIBRARIES.values()]
    if cuda_major >= 13:
        wanted.append("include/cccl")
    return [name.split("/")[1] for name in wanted if name not in links]


def assemble(
    root: Path, links: Mapping[str, Path], nvcc: Path, version: tuple[int, int], architectures: Iterable[int]
) -> Path:
    """The `bin/nvcc` of a home under `root` with these links, made now unless it is there already.

    Args:
        root: folder of all homes; each is named after what it was made from, so a changed toolkit gets a
            home of its own and a running process keeps its own.
        links: from `collect`.
        nvcc: the compiler behind the home's script.
        version: of that compiler's CUDA.
        architectures: compute capabilities times ten to compile for.
    """
    is_13 = version[0] >= 13
    overlay = {
        str(path.relative_to(OVERLAY / "include")): path.read_text()
        for path in sorted((OVERLAY / "include").rglob("*.*h"))
    }
    if not is_13:
        overlay = {name: text for name, text in overlay.items() if name not in _CUDA_13_ONLY}
    if "include/npp.h" in links:
        del overlay["npp.h"]
    # A folder of the overlay is not written through a link of the same name.
    links = {name: path for name, path in links.items() if not (is_13 and name == "include/cub")}
    script = _script(nvcc, 17 if is_13 else 14, sorted(set(architectures)))
    sources = [(name, str(path), _size(path)) for name, path in sorted(links.items())]
    made_from = [_LAYOUT, overlay, script, sources]
    digest = hashlib.sha256(repr(made_from).encode()).hexdigest()[:12]
    home = root / f"cuda-{version[0]}.{version[1]}-{digest}"
    if not home.is_dir():
        _make(home, links, overlay, script)
    return home / "bin" / "nvcc"


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _script(nvcc: Path, standard: int, architectures: list[int]) -> str:
    text = (OVERLAY / "bin" / "nvcc").read_text()
    values = {
        "NVCC": str(nvcc),
        "STANDARD": str(standard),
        "LOWEST": str(architectures[0]),
        "CODES": ",".join(f"sm_{architecture}" for architecture in architectures),
    }
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _make(home: Path, links: Mapping[str, Path], overlay: Mapping[str, str], script: str) -> None:
    aside = home.with_name(f".{home.name}.{os.getpid()}")
    shutil.rmtree(aside, ignore_errors=True)
    for folder in ("bin", "lib64", "include/toolkit"):
        (aside / folder).mkdir(parents=True)
    for name, target in links.items():
        # A header of the overlay includes the real one from this folder.
        is_replaced = name.removeprefix("include/") in overlay
        (aside / (name.replace("include/", "include/toolkit/") if is_replaced else name)).symlink_to(target)
    for name, text in overlay.items():
        path = aside / "include" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    compiler = aside / "bin" / "nvcc"
    compiler.write_text(script)
    compiler.chmod(0o755)
    try:
        aside.rename(home)
    except OSError:  # another process was faster
        shutil.rmtree(aside)
