"""Makes `import jittor` work on the machine at hand, without a download and without surprises.

Every module of jld that needs Jittor writes ``from jld.toolchain import jittor as jt``. The first such
line checks the machine, sets the environment variables Jittor reads, links oneDNN into Jittor's cache,
chooses a CUDA toolkit where there is a GPU, and only then imports Jittor; later lines cost a dictionary
look-up. Nothing here edits or copies Jittor.

All workarounds are for Jittor 1.3.11 and name the condition under which they can go.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from jld.toolchain import cuda
from jld.toolchain.build import build_once, built_mark, close_pool
from jld.toolchain.cache import python_config
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
from jld.toolchain.kernels import mend_kernels
from jld.toolchain.memory import keep_freed_memory
from jld.toolchain.mpi import check_joined, check_mpi, mpi_settings
from jld.toolchain.one_step import compile_in_one_step
from jld.toolchain.onednn import check_onednn, link_onednn

CHECKS = (
    check_python,
    check_numpy,
    check_compiler,
    check_python_headers,
    check_jittor,
    check_home,
    mend_kernels,
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
        # Each of Jittor's libraries installs, when it is loaded, a handler of SIGINT that leaves the process
        # with status 1. They do not in a notebook, which is known by this.
        "JPY_PARENT_PID": str(os.getppid()),
        # Jittor names its cache after the git branch its environment lies in: every new branch recompiles.
        "cache_name": "default",
        **mpi_settings(),
    }
    if "OMP_WAIT_POLICY" not in os.environ:
        # OpenMP threads that spin for long collapse when the cores are shared, and threads that sleep at once
        # are slow to wake: some microseconds are right (docs/performance.md).
        defaults |= {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "3000"}
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
    if not build_once() and is_ours and os.environ["nvcc_path"]:
        _leave_the_gpu()
    import numpy

    for kind in ("float32", "float64"):
        # Jittor's libraries flush subnormal numbers to zero, of which numpy would warn when first asked.
        numpy.finfo(kind)
    from jld.utils import stopping

    try:
        # Jittor's import catches whatever is raised within it at many places, a stop by a signal too.
        with stopping.postponed():
            import jittor
    except stopping.Stopped:
        raise
    except SystemExit:
        built_mark().unlink(missing_ok=True)
        raise ToolchainError("Jittor has rebuilt its loader; start the same command again.") from None
    stopping.poll()
    close_pool()
    check_joined(jittor)
    # Jittor ends the process without saying where when any child dies; data workers report their own death.
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    precompile(jittor)
    compile_in_one_step(jittor)
    return jittor


def _leave_the_gpu() -> None:
    """Goes on with the CPU where Jittor cannot be built with the toolkit that was chosen for it."""
    print(
        f"jld: building Jittor with {os.environ['nvcc_path']} failed (see above): running on the CPU.",
        file=sys.stderr,
        flush=True,
    )
    os.environ["nvcc_path"] = ""
    build_once()


def __getattr__(name: str):
    if name == "jittor":
        module = import_jittor()
        globals()["jittor"] = module
        return module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
