"""Makes `import jittor` work on the machine at hand, without a download and without surprises.

Every module of jld that needs Jittor writes ``from jld.toolchain import jittor as jt``. The first such
line checks the machine, sets the environment variables Jittor reads, links oneDNN into Jittor's cache,
chooses a CUDA toolkit where there is a GPU, and only then imports Jittor; later lines cost a dictionary
look-up. Nothing here edits or copies Jittor.

All workarounds are for Jittor 1.3.11 and name the condition under which they can go.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from jld.toolchain import cuda
from jld.toolchain.cache import jittor_cache_root, python_config
from jld.toolchain.cuda import check_cuda
from jld.toolchain.findings import (
    Finding,
    ToolchainError,
    check_compiler,
    check_home,
    check_jittor,
    check_numpy,
    check_python,
    check_python_headers,
)
from jld.toolchain.kernel_prefix import precompile
from jld.toolchain.memory import keep_freed_memory
from jld.toolchain.mpi import check_joined, check_mpi, environment_of_one, mpi_settings
from jld.toolchain.onednn import check_onednn, link_onednn

CHECKS = (
    check_python,
    check_numpy,
    check_compiler,
    check_python_headers,
    check_jittor,
    check_home,
    check_onednn,
    check_cuda,
    check_mpi,
)


def inspect_machine() -> list[Finding]:
    """Everything `tools/doctor.py` reports, found without importing Jittor."""
    return [check() for check in CHECKS]


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
        "FIX_TORCH_ERROR": "0",  # else an installed PyTorch is imported too
        "gdb_path": "",  # else a crash starts a debugger
        "log_silent": "1",
        # Jittor names its cache after the git branch its environment lies in: every new branch recompiles.
        "cache_name": "default",
        # Spinning OpenMP threads collapse when the cores are shared (measured in docs/performance.md).
        "OMP_WAIT_POLICY": "passive",
        **mpi_settings(),
    }
    config = python_config()
    if config is not None:
        defaults["python_config_path"] = str(config)
    defaults["nvcc_path"] = _cuda_compiler()
    if not link_onednn():
        defaults["use_mkl"] = "0"
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def _cuda_compiler() -> str:
    """The nvcc for Jittor, empty for the CPU; says so where there is a GPU that cannot be used."""
    choice = cuda.choose_cuda()
    if choice.cure:
        print(f"jld: {choice.detail}. To use the GPU: {choice.cure}", file=sys.stderr, flush=True)
    return choice.nvcc


def import_jittor():
    """Prepares the machine, imports Jittor and returns the module.

    Raises:
        ToolchainError: see `prepare`; or Jittor rebuilt its loader and wants to be started again.
    """
    if "jittor" in sys.modules:
        return sys.modules["jittor"]
    is_ours = "nvcc_path" not in os.environ
    prepare()
    keep_freed_memory()
    if not _build_once() and is_ours and os.environ["nvcc_path"]:
        _leave_the_gpu()
    import numpy

    for kind in ("float32", "float64"):
        # Jittor's libraries flush subnormal numbers to zero, of which numpy would warn when first asked.
        numpy.finfo(kind)
    try:
        import jittor
    except SystemExit:
        _built_mark().unlink(missing_ok=True)
        raise ToolchainError("Jittor has rebuilt its loader; start the same command again.") from None
    check_joined(jittor)
    # Jittor ends the process without saying where when any child dies; data workers report their own death.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    precompile(jittor)
    return jittor


def _leave_the_gpu() -> None:
    """Goes on with the CPU where Jittor cannot be built with the toolkit that was chosen for it."""
    print(
        f"jld: building Jittor with {os.environ['nvcc_path']} failed (see above): running on the CPU.",
        file=sys.stderr,
        flush=True,
    )
    os.environ["nvcc_path"] = ""
    _build_once()


def _build_once() -> bool:
    """Lets Jittor compile itself in a process of its own, the first time on a machine or after other flags.

    Jittor ends the process that compiled its loader with status 0 ("please rerun"): a test run or a training
    would end silently. Can go when Jittor loads what it has built. Of several processes, such as the ranks of
    an `mpirun`, one builds and the others wait.

    Returns:
        Whether it is built.
    """
    mark = _built_mark()
    if mark.is_file():
        return True
    mark.parent.mkdir(parents=True, exist_ok=True)
    with (mark.parent / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return mark.is_file() or _build(mark)


def _build(mark: Path) -> bool:
    print(
        "jld: Jittor compiles itself once on this machine; on two cores this takes about four minutes.",
        file=sys.stderr,
        flush=True,
    )
    command = [sys.executable, "-c", "import jittor; print('imported')"]
    alone = environment_of_one()
    for _ in range(2):
        answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, env=alone, check=False)
        if answer.returncode:
            return False  # the import in this process says why
        if "imported" in answer.stdout:
            mark.touch()
            return True
    return False


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
