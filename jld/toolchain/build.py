"""Jittor's compilation of itself: once on a machine, in a process of its own, with a progress bar."""

from __future__ import annotations

import atexit
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any

from jld.toolchain.cache import jittor_cache_root
from jld.toolchain.mpi import environment_of_one
from jld.toolchain.quick_build import quick_compiler

# What the child prints at the end; and how Jittor counts the files of one of its parts.
DONE = "imported"
COUNT = re.compile(r"([\w ]+)\((\d+)/(\d+)\)")
FLAGS = ("cc_path", "cc_flags", "nvcc_path", "cache_name", "use_mkl", "debug")


def build_once() -> bool:
    """Lets Jittor compile itself in a process of its own, the first time on a machine or after other flags.

    Jittor ends the process that compiled its loader with status 0 ("please rerun"): a test run or a training
    would end silently. Can go when Jittor loads what it has built. Of several processes, such as the ranks of
    an `mpirun`, one builds and the others wait.

    Returns:
        Whether it is built.
    """
    mark = built_mark()
    if mark.is_file():
        return True
    mark.parent.mkdir(parents=True, exist_ok=True)
    with (mark.parent / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return mark.is_file() or _build(mark)


def close_pool() -> None:
    """Ends the processes that compiled, or would have compiled, Jittor's own parts in its import.

    Jittor leaves them idle to the end, and whoever signals all processes of a job (a batch system, `pkill`)
    kills them with a lock in their hands, for which the main process waits at its exit for ever. Another
    call of Jittor's would start new ones.
    """
    jittor_utils = importlib.import_module("jittor_utils")
    if jittor_utils.pool_size:
        jittor_utils.p.close()
        jittor_utils.p.join()
        jittor_utils.pool_size = 0
        atexit.unregister(jittor_utils.pool_cleanup)


def built_mark() -> Path:
    """A file that exists once Jittor is compiled for this machine, interpreter, installation and flags."""
    spec = importlib.util.find_spec("jittor")
    what = [sys.version, str(spec.origin), importlib.metadata.version("jittor")]
    what += [os.environ.get(name, "") for name in FLAGS]
    # As in the name of Jittor's cache, of which another machine with the same home or image uses nothing.
    what += [platform.platform(), platform.node(), _processor()]
    return jittor_cache_root() / "jld" / f"built-{hashlib.sha256(repr(what).encode()).hexdigest()[:16]}"


def _processor() -> str:
    """The model of the processor, as far as the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith("model name")), "")


def _build(mark: Path) -> bool:
    print("jld: Jittor compiles itself, once on this machine.", file=sys.stderr, flush=True)
    with quick_compiler(mark.parent) as settings:
        for _ in range(2):
            with tempfile.TemporaryFile("w+") as messages:
                status, is_done = _import_in_child(messages, settings)
                if status:
                    messages.seek(0)
                    print(messages.read()[-4000:], file=sys.stderr)
                    return False
            if is_done:
                mark.touch()
                return True
    return False


def _import_in_child(messages: IO[str], settings: dict[str, str]) -> tuple[int, bool]:
    """(exit status, whether the import came to its end) of a process that imports Jittor.

    Args:
        messages: takes what it writes to stderr.
        settings: its variables beside those of this process.
    """
    command = [sys.executable, "-c", f"import jittor; print('\\n{DONE}')"]
    # Only a talkative Jittor counts what it compiles; its other messages matter when it fails.
    environment = environment_of_one() | settings | {"log_silent": "0", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=messages, text=True, env=environment, bufsize=1
    ) as child:
        try:
            last = _show_progress(child.stdout)
        except BaseException:  # a signal: leaving the block would wait for the child, which takes minutes
            child.terminate()
            raise
    return child.returncode, last == DONE


def _show_progress(lines: Any) -> str:
    """Turns the counts among a child's output into a bar, one for each part; returns the last line.

    Args:
        lines: an iterable of lines; carriage returns count as line ends.
    """
    from tqdm import tqdm

    bar, part, last = None, "", ""
    for line in lines:
        count = COUNT.match(line.strip())
        if count is None:
            last = line.strip() or last
            continue
        name, done, total = count[1].strip(), int(count[2]), int(count[3])
        if bar is None or (name, total) != part:
            if bar is not None:
                bar.close()
            bar, part = tqdm(total=total, desc=name, unit="file", file=sys.stderr), (name, total)
        bar.update(done - bar.n)
    if bar is not None:
        bar.close()
    return last
