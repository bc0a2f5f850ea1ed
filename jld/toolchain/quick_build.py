"""Makes GCC quick at Jittor's own files, in the process that builds them and in no other.

Most of the first start goes into the same headers, read for each of 160 files, and into optimizing code that
no training waits for. Here the headers are compiled once, and such code (see `SCRIPT`) is optimized as far
as GCC does quickly. Jittor remembers the command of each file and repeats it when it changes, so the commands
stay as they are: GCC looks for its inner compiler, `cc1plus`, in the folders of `COMPILER_PATH` first, and
during the build one of them holds a script of that name that adds both settings. Kernels are not touched.

For Jittor 1.3.11 with GCC on the CPU; can go when Jittor comes compiled.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path

from jld.toolchain.headers import is_gcc, precompile_header

# What most of Jittor's files include; without opt/kernel_ir.h, whose `isvar` two files name once more.
HEADERS = """\
#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <functional>
#include <iomanip>
#include <iostream>
#include <limits>
#include <mutex>
#include <sstream>
#include <thread>
#include "executor.h"
#include "fused_op.h"
#include "op_compiler.h"
#include "ops/op_register.h"
#include "pyjt/py_converter.h"
"""
# What works once per operator of a step keeps its level: the graph (src/*), operators and memory. Bindings,
# the generator of kernels, tests and tools do not. A file that fails is compiled as Jittor says.
SCRIPT = """\
#!/bin/sh
for word; do
    case $word in
        {jittor}/src/*_compiler.cc) level=-Og ;;
        {jittor}/src/mem/*.cc | {jittor}/src/ops/*.cc) level=-O2 ;;
        {jittor}/src/*/*.cc | {jittor}/extern/*/ops/*.c*) level=-Og ;;
        */gen/pyjt_*.cc | */custom_ops/gen_*.cc) level=-Og ;;
        {jittor}/src/*.cc) level=-O2 ;;
        *) continue ;;
    esac
    {cc1plus} -include {folder}/jittor$level.h "$@" $level 2>/dev/null && exit 0
done
exec {cc1plus} "$@"
"""
# GCC 12 crashes where the level of a file is above that of its headers: each has its own.
LEVELS = ("-O2", "-Og")
# Set to 0 it leaves the compiler alone, to measure what it is worth.
SWITCH = "JLD_QUICK_BUILD"
# Of the folder's name.
PREFIX = "quick-"
# Jittor's own settings of another build than the one that was measured.
OTHER_BUILDS = ("cc_flags", "debug", "enable_lto", "nvcc_path")


@contextlib.contextmanager
def quick_compiler(cache: Path) -> Iterator[dict[str, str]]:
    """The variables with which a process compiles Jittor's files quickly; none where that is not possible.

    Args:
        cache: an existing folder, of which the caller holds the lock; what is written there is removed at the
            end.
    """
    compiler = os.environ.get("cc_path") or "g++"
    is_other = any(os.environ.get(name, "0") not in ("", "0") for name in OTHER_BUILDS)
    if os.environ.get(SWITCH) == "0" or is_other or not is_gcc(compiler):
        yield {}
        return
    for left in cache.glob(f"{PREFIX}*"):  # of a build that was killed; two never run at once
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=cache) as folder:
        problem = _write(compiler, Path(folder))
        if problem:
            print(f"jld: it takes longer, its headers do not compile: {problem}", file=sys.stderr, flush=True)
        paths = (folder, os.environ.get("COMPILER_PATH"))
        yield {} if problem else {"COMPILER_PATH": os.pathsep.join(filter(None, paths))}


def _write(compiler: str, folder: Path) -> str:
    """Compiles the headers and writes the script; returns what went wrong, empty where nothing did."""
    jittor = Path(str(importlib.util.find_spec("jittor").origin)).parent
    # As in Jittor's commands: with other flags the headers would be read as text.
    flags = ["-std=c++14", "-fPIC", "-w", f"-I{jittor}/src", f"-I{jittor}/extern"]
    flags.append(f"-I{sysconfig.get_paths()['include']}")
    if platform.machine() == "x86_64":
        flags.append("-march=native")
    for level in LEVELS:
        problem = precompile_header(compiler, [*flags, level], folder / f"jittor{level}.h", HEADERS)
        if problem:
            return problem
    command = [compiler, "-print-prog-name=cc1plus"]
    cc1plus = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
    if not Path(cc1plus).is_absolute():
        return f"{compiler} does not say where its cc1plus is"
    words = {"jittor": jittor, "cc1plus": cc1plus, "folder": folder}
    script = folder / "cc1plus"
    try:
        script.write_text(SCRIPT.format_map({name: shlex.quote(str(word)) for name, word in words.items()}))
        script.chmod(0o755)
    except OSError as error:
        return str(error)
    return ""
