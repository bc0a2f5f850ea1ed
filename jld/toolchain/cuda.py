"""Which CUDA toolkit Jittor is given: a GPU is asked for first, then a toolkit that suits it and Jittor.

A toolkit that Jittor 1.3.11 understands as it is (CUDA 11 or 12 with cuDNN 8, complete, Jittor's own download
included) is left alone. One with CUDA 13 or cuDNN 9, or made of wheels, or completed by wheels, gets a home
(`jld.toolchain.cuda_home`). Without either, everything runs on the CPU and one line says why.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from jld.toolchain import cuda_home, gpus
from jld.toolchain.cache import jittor_cache_root
from jld.toolchain.findings import Finding

WHEELS = 'pip install -e ".[cuda13]"'
INSTALLER = "python -m jittor_utils.install_cuda"
# Jittor 1.3.11 passes nvcc no architecture above this, and CUDA 13 knows none below the other.
_NEWEST_OF_JITTOR, _OLDEST_OF_CUDA_13 = 90, 75
_SYSTEM_LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
_SYSTEM_INCLUDES = (Path("/usr/include"), Path("/usr/include/x86_64-linux-gnu"))
_SYSTEM_PLACES = ("/usr/local/cuda/bin/nvcc", "/opt/cuda/bin/nvcc")


@dataclass(frozen=True)
class Toolkit:
    """An nvcc and what lies around it.

    Attributes:
        nvcc: as it was found.
        root: folder with bin, include and lib64 (or lib).
        version: (major, minor) of CUDA.
        is_wheel: whether it came from the package index.
    """

    nvcc: Path
    root: Path
    version: tuple[int, int]
    is_wheel: bool

    @property
    def compiler(self) -> Path:
        """The program behind `nvcc`, which may be a script of somebody else."""
        behind = self.root / "bin" / "nvcc"
        return behind if behind.is_file() else self.nvcc

    def __str__(self) -> str:
        """`CUDA 13.0 of the package index`, or with the folder of a system's toolkit."""
        origin = "of the package index" if self.is_wheel else f"at {self.root}"
        return f"CUDA {self.version[0]}.{self.version[1]} {origin}"


@dataclass(frozen=True)
class Choice:
    """What Jittor is given.

    Attributes:
        nvcc: value of its `nvcc_path`, empty for the CPU.
        detail: what was found, one line.
        cure: what to type for a better result, else empty.
    """

    nvcc: str
    detail: str
    cure: str = ""


def check_cuda() -> Finding:
    """A usable NVIDIA GPU, asked through the driver, and a CUDA toolkit for it."""
    choice = choose_cuda(assemble=False)
    return Finding("cuda", True, choice.detail, choice.cure)


def choose_cuda(*, assemble: bool = True) -> Choice:
    """The compiler for Jittor on this machine.

    Args:
        assemble: whether a home that is needed is made; without it `nvcc` is that of the toolkit.
    """
    if "nvcc_path" in os.environ:
        path = os.environ["nvcc_path"]
        return Choice(
            path, f"nvcc_path is set to {path}" if path else "nvcc_path is empty: running on the CPU"
        )
    found = gpus.find_gpus()
    if found is None:
        nvcc = shutil.which("nvcc")
        note = f" (nvcc at {nvcc} is ignored)" if nvcc else ""
        return Choice("", "no usable GPU: running on the CPU" + note)
    problems = []
    for toolkit in find_toolkits():
        problem = _misfit(toolkit, found)
        if not problem and _suits_jittor(toolkit, found):
            return Choice(str(toolkit.nvcc), f"{found}; {toolkit}")
        links = {} if problem else _links(toolkit)
        missing = cuda_home.missing_files(links, toolkit.version[0])
        if problem or missing:
            problems.append(f"{toolkit} {problem or 'lacks ' + ', '.join(missing)}")
            continue
        root = jittor_cache_root() / "jld"
        nvcc = toolkit.nvcc
        if assemble:
            nvcc = cuda_home.assemble(root, links, toolkit.compiler, toolkit.version, found.architectures)
        return Choice(str(nvcc), f"{found}; {toolkit}, assembled under {root}")
    reason = "; ".join(problems) or "no nvcc"
    return Choice("", f"{found}; {reason}: running on the CPU", _cure(found))


def _cure(found: gpus.Gpus) -> str:
    if found.driver >= (13, 0) and min(found.architectures) >= _OLDEST_OF_CUDA_13:
        return WHEELS
    if max(found.architectures) <= _NEWEST_OF_JITTOR:
        return f"Install CUDA 11 or 12 with cuDNN 8, or let Jittor do it: {INSTALLER}"
    return f"Update the driver to 580 or newer, then: {WHEELS}"


def find_toolkits() -> list[Toolkit]:
    """Every toolkit of the machine: on PATH, in the usual places, Jittor's own download, wheels."""
    own = sorted((jittor_cache_root() / "jtcuda").glob("*/bin/nvcc"))
    places = [shutil.which("nvcc"), *_SYSTEM_PLACES, *own]
    candidates = [(Path(place), False) for place in places if place]
    candidates += [(folder / "bin" / "nvcc", True) for folder in _wheel_folders()]
    toolkits: dict[Path, Toolkit] = {}
    for nvcc, is_wheel in candidates:
        root = _root(nvcc) if nvcc.is_file() else None
        if root is not None:
            toolkits.setdefault(root, Toolkit(nvcc, root, _version(root), is_wheel))
    return list(toolkits.values())


def _wheel_folders() -> list[Path]:
    """The folders inside `nvidia`, the package that all of NVIDIA's wheels share."""
    spec = importlib.util.find_spec("nvidia")
    homes = spec.submodule_search_locations if spec else ()
    return [path for home in homes for path in sorted(Path(home).iterdir()) if path.is_dir()]


def _root(nvcc: Path) -> Path | None:
    """The toolkit behind an nvcc, which may be a script somewhere else; None when it has no headers."""
    beside = nvcc.resolve().parent.parent
    if _version(beside) > (0, 0):
        return beside
    command = [str(nvcc), "-dryrun", "-x", "cu", "-c", "/dev/null", "-o", "/dev/null"]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    top = re.search(r"^#\$ TOP=(.*)$", told.stderr + told.stdout, re.MULTILINE)
    root = Path(top[1].strip()).resolve() if top else None
    return root if root is not None and _version(root) > (0, 0) else None


def _version(root: Path) -> tuple[int, int]:
    number = _defined(_include_folders(root), "cuda_runtime_api.h", "CUDART_VERSION")
    return number // 1000, number % 1000 // 10


def _defined(folders: list[Path], header: str, name: str) -> int:
    """Value of a `#define` in the first of these headers that exists, else 0."""
    for folder in folders:
        if (folder / header).is_file():
            match = re.search(rf"#define\s+{name}\s+(\d+)", (folder / header).read_text(errors="replace"))
            return int(match[1]) if match else 0
    return 0


def _include_folders(root: Path) -> list[Path]:
    return [root / "include", root / "targets" / "x86_64-linux" / "include"]


def _library_folders(root: Path) -> list[Path]:
    return [root / "lib64", root / "lib", root / "targets" / "x86_64-linux" / "lib"]


def _misfit(toolkit: Toolkit, found: gpus.Gpus) -> str:
    """Why this toolkit cannot serve these cards, or nothing."""
    if toolkit.version[0] > found.driver[0]:
        return f"needs a driver for CUDA {toolkit.version[0]}"
    if toolkit.version[0] >= 13 and min(found.architectures) < _OLDEST_OF_CUDA_13:
        return "no longer compiles for this card"
    return ""


def _suits_jittor(toolkit: Toolkit, found: gpus.Gpus) -> bool:
    """Whether Jittor 1.3.11 can use the toolkit as it lies there."""
    cudnn = _defined([*_include_folders(toolkit.root), *_SYSTEM_INCLUDES], "cudnn_version.h", "CUDNN_MAJOR")
    return (
        not toolkit.is_wheel
        and toolkit.nvcc.resolve().parent.parent == toolkit.root  # else Jittor looks around the script
        and toolkit.version < (13, 0)
        and cudnn < 9
        and max(found.architectures) <= _NEWEST_OF_JITTOR
        and not missing_libraries(toolkit.root)
    )


def missing_libraries(root: Path) -> list[str]:
    """Names of the libraries Jittor links that do not lie in a toolkit, as Jittor searches for them."""
    folders = [*_library_folders(root), _SYSTEM_LIBRARIES]
    return [name for name in cuda_home.LIBRARIES if not any((folder / name).exists() for folder in folders)]


def _links(toolkit: Toolkit) -> dict[str, Path]:
    """What a home of this toolkit has: its own files, wheels of the same CUDA, cuDNN of the system."""
    if toolkit.root == Path("/usr"):
        return {}  # its folders are those of the whole system
    wheels = [folder for folder in _wheel_folders() if _is_for(folder, toolkit.version[0])]
    includes = _include_folders(toolkit.root) + [folder / "include" for folder in wheels]
    libraries = _library_folders(toolkit.root) + [folder / "lib" for folder in wheels]
    headers = [path for folder in includes for path in _entries(folder)]
    headers += [path for folder in _SYSTEM_INCLUDES for path in _entries(folder, "cudnn*.h")]
    binaries = [path for folder in libraries for path in _entries(folder)]
    binaries += _entries(_SYSTEM_LIBRARIES, "libcudnn*")
    return cuda_home.collect(headers, binaries)


def _entries(folder: Path, pattern: str = "*") -> list[Path]:
    return sorted(folder.glob(pattern)) if folder.is_dir() else []


def _is_for(folder: Path, cuda_major: int) -> bool:
    """Whether a folder of wheels holds files for this CUDA: cu13 for 13, one folder per library before."""
    if folder.name == "cudnn":
        return _is_installed(f"nvidia-cudnn-cu{cuda_major}")
    if re.fullmatch(r"cu\d+", folder.name):
        return folder.name == f"cu{cuda_major}"
    return cuda_major < 13 and _is_installed(f"nvidia-{folder.name.replace('_', '-')}-cu{cuda_major}")


def _is_installed(package: str) -> bool:
    try:
        importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
