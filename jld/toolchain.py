"""Makes `import jittor` work on the machine at hand, without a download and without surprises.

Every module of jld that needs Jittor writes ``from jld.toolchain import jittor as jt``. The first such
line checks the machine, sets the environment variables Jittor reads, links oneDNN into Jittor's cache and
only then imports Jittor; later lines cost a dictionary look-up. Nothing here edits or copies Jittor.

All workarounds are for Jittor 1.3.11 and name the condition under which they can go.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
import signal
import stat
import subprocess
import sys
import sysconfig
import threading
from dataclasses import dataclass
from pathlib import Path

# Jittor looks for exactly this folder before it tries to download it; any oneDNN 2.x serves.
ONEDNN_FOLDER = "dnnl_lnx_2.2.0_cpu_gomp"
ONEDNN_PACKAGES = ("onednn-cpu-gomp", "onednn-devel-cpu-gomp")


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


def check_onednn() -> Finding:
    """oneDNN, the library behind Jittor's CPU convolutions."""
    files = onednn_files()
    if files is not None:
        return Finding("oneDNN", True, f"{_package_version(ONEDNN_PACKAGES[0])} at {files[1]}")
    linked = jittor_cache_root() / "mkl" / ONEDNN_FOLDER / "lib" / "libmkldnn.so"
    if linked.exists():
        return Finding("oneDNN", True, f"in Jittor's cache ({linked})")
    return Finding(
        "oneDNN",
        True,
        "not found: CPU convolutions run on slow generated loops",
        "pip install " + " ".join(f"{name}==2021.4.0" for name in ONEDNN_PACKAGES),
    )


def check_cuda() -> Finding:
    """A usable NVIDIA GPU, asked through the driver, and a complete CUDA toolkit beside it."""
    count = gpu_count()
    nvcc = os.environ.get("nvcc_path") or shutil.which("nvcc")
    if count == 0:
        note = f" (nvcc at {nvcc} is ignored)" if nvcc else ""
        return Finding("cuda", True, "no usable GPU: running on the CPU" + note)
    if nvcc is None:
        return Finding(
            "cuda",
            True,
            f"{count} GPU(s) but no nvcc: running on the CPU",
            "Install a CUDA 11 or 12 toolkit with cuDNN 8, or run: python -m jittor_utils.install_cuda",
        )
    missing = missing_cuda_libraries(nvcc)
    if missing:
        return Finding(
            "cuda",
            True,
            f"{count} GPU(s), nvcc at {nvcc}, but no {', '.join(missing)}: running on the CPU",
            "Complete the toolkit beside that nvcc, or run: python -m jittor_utils.install_cuda",
        )
    return Finding("cuda", True, f"{count} GPU(s), nvcc at {nvcc}")


CHECKS = (
    check_python,
    check_numpy,
    check_compiler,
    check_python_headers,
    check_jittor,
    check_home,
    check_onednn,
    check_cuda,
)


def inspect_machine() -> list[Finding]:
    """Everything `tools/doctor.py` reports, found without importing Jittor."""
    return [check() for check in CHECKS]


def jittor_cache_root() -> Path:
    """The folder Jittor compiles into. JITTOR_HOME is sticky: Jittor stores it and later runs obey it."""
    return Path(os.environ.get("JITTOR_HOME") or Path.home()) / ".cache" / "jittor"


def gpu_count() -> int:
    """Number of CUDA devices the driver offers; 0 without a driver. Does not touch the toolkit."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return 0
    return count.value


def missing_cuda_libraries(nvcc: str) -> list[str]:
    """Names of the libraries Jittor links that do not lie beside `nvcc`, as Jittor searches for them."""
    home = Path(nvcc).resolve().parent.parent
    folders = [home / "lib64", home / "lib", Path("/usr/lib/x86_64-linux-gnu")]
    wanted = ("libcudart.so", "libcublas.so", "libcudnn.so", "libcurand.so")
    return [name for name in wanted if not any((folder / name).exists() for folder in folders)]


def _package_version(name: str) -> str:
    return importlib.metadata.version(name)


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
    _renew_link(target / "include", header.parent)
    for name in ("libmkldnn.so", "libdnnl.so.2", "libdnnl.so"):
        _renew_link(target / "lib" / name, library)
    return True


def _renew_link(link: Path, to: Path) -> None:
    if link.is_symlink() and link.readlink() == to:
        return
    if link.exists() and not link.is_symlink():
        return  # Jittor's own download: leave it
    link.parent.mkdir(parents=True, exist_ok=True)
    # Several processes may start at once: create aside and rename, which is atomic.
    temporary = link.with_name(f".{link.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(to)
    temporary.replace(link)


def python_config() -> Path | None:
    """A working python-config for this interpreter, or None when Jittor finds one itself.

    Virtual environments have none, and Jittor stops with "python3.X-config not found". A three-line script
    that answers its two questions is enough. Can go when Jittor asks sysconfig.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    bindir = Path(sysconfig.get_config_var("BINDIR") or "")
    for candidate in (
        Path(sys.executable).parent / f"python{version}-config",
        bindir / f"python{version}-config",
    ):
        if candidate.is_file():
            return candidate
    script = jittor_cache_root() / "jld" / f"python{version}-config"
    include = sysconfig.get_paths()["include"]
    text = (
        '#!/bin/sh\ncase "$1" in\n'
        f'--includes) echo "-I{include}" ;;\n'
        f'--extension-suffix) echo "{sysconfig.get_config_var("EXT_SUFFIX")}" ;;\nesac\n'
    )
    if not script.is_file() or script.read_text() != text:
        script.parent.mkdir(parents=True, exist_ok=True)
        temporary = script.with_name(f"{script.name}.{os.getpid()}")
        temporary.write_text(text)
        temporary.chmod(temporary.stat().st_mode | stat.S_IXUSR)
        temporary.replace(script)
    return script


def prepare() -> None:
    """Checks the machine and sets what Jittor reads from the environment. Variables already set win.

    Raises:
        ToolchainError: something Jittor cannot work without is missing; one sentence per item, with its cure.
    """
    bad = [f"{f.name}: {f.detail}. {f.cure}" for f in inspect_machine() if not f.ok]
    if bad:
        raise ToolchainError("jld cannot start on this machine.\n  " + "\n  ".join(bad))
    defaults = {
        # Without these Jittor downloads sources at import or aborts when CUDA is half installed.
        "use_cutt": "0",
        "use_cutlass": "0",
        "use_nccl": "0",
        "use_mpi": str(int(_inside_mpi())),
        "FIX_TORCH_ERROR": "0",  # else an installed PyTorch is imported too
        "gdb_path": "",  # else a crash starts a debugger
        "log_silent": "1",
        # Jittor names its cache after the git branch its environment lies in: every new branch recompiles.
        "cache_name": "default",
        # Spinning OpenMP threads collapse when the cores are shared (measured in docs/performance.md).
        "OMP_WAIT_POLICY": "passive",
    }
    config = python_config()
    if config is not None:
        defaults["python_config_path"] = str(config)
    if not _cuda_is_complete():
        defaults["nvcc_path"] = ""
    if not link_onednn():
        defaults["use_mkl"] = "0"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _inside_mpi() -> bool:
    return any(name in os.environ for name in ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE"))


def _cuda_is_complete() -> bool:
    nvcc = shutil.which("nvcc")
    return gpu_count() > 0 and nvcc is not None and not missing_cuda_libraries(nvcc)


def import_jittor():
    """Prepares the machine, imports Jittor and returns the module.

    Raises:
        ToolchainError: see `prepare`; or Jittor rebuilt its loader and wants to be started again.
    """
    if "jittor" in sys.modules:
        return sys.modules["jittor"]
    prepare()
    _build_once()
    import numpy

    for kind in ("float32", "float64"):
        # Jittor's libraries flush subnormal numbers to zero, of which numpy would warn when first asked.
        numpy.finfo(kind)
    try:
        import jittor
    except SystemExit:
        _built_mark().unlink(missing_ok=True)
        raise ToolchainError("Jittor has rebuilt its loader; start the same command again.") from None
    # Jittor ends the process without saying where when any child dies; data workers report their own death.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return jittor


def _build_once() -> None:
    """Lets Jittor compile itself in a process of its own, the first time on a machine or after other flags.

    Jittor ends the process that compiled its loader with status 0 ("please rerun"): a test run or a training
    would end silently. Can go when Jittor loads what it has built.
    """
    mark = _built_mark()
    if mark.is_file():
        return
    print(
        "jld: Jittor compiles itself once on this machine; on two cores this takes about four minutes.",
        file=sys.stderr,
        flush=True,
    )
    environment = {**os.environ, "use_mpi": "0"}  # a child of a rank must not join the ranks
    for _ in range(2):
        command = [sys.executable, "-c", "import jittor; print('imported')"]
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=environment, check=False)
        if answer.returncode:
            return  # the import in this process says why
        if "imported" in answer.stdout:
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
            return


def _built_mark() -> Path:
    """A file that exists once Jittor is compiled for this interpreter, installation and set of flags."""
    spec = importlib.util.find_spec("jittor")
    what = [sys.version, str(spec.origin), importlib.metadata.version("jittor")]
    what += [
        os.environ.get(name, "")
        for name in ("cc_path", "cc_flags", "nvcc_path", "cache_name", "use_mkl", "debug")
    ]
    return jittor_cache_root() / "jld" / f"built-{hashlib.sha256(repr(what).encode()).hexdigest()[:16]}"


def __getattr__(name: str):
    if name == "jittor":
        module = import_jittor()
        globals()["jittor"] = module
        return module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
