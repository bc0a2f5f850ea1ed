"""Jittor's headers compiled once, so that each of its kernels does not read them again.

More than half of a small kernel's compile time goes into the same few headers. Here they are precompiled
into Jittor's cache, and the compiler is told to start every CPU kernel with them; the kernel is the same,
debug lines included. For Jittor 1.3.11 with GCC; can go when Jittor precompiles its headers itself.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

# What the sources of fused kernels include; the two macros stand at the head of each of them.
PREFIX = """\
#define JIT 1
#define JIT_cpu 1
#include <algorithm>
#include <cmath>
#include <limits>
#include "var.h"
#include "ops/array_op.h"
#include "ops/binary_op.h"
#include "ops/broadcast_to_op.h"
#include "ops/op_register.h"
#include "ops/reduce_op.h"
#include "ops/ternary_op.h"
#include "ops/unary_op.h"
"""
# Set to 0 it leaves the compiler alone, to measure what it is worth.
SWITCH = "JLD_KERNEL_PREFIX"


def precompile(jittor: Any) -> bool:
    """Makes every further CPU kernel start from precompiled headers; True where that is in force.

    Args:
        jittor: the imported module; `flags.cc_flags` gains an `-include`.
    """
    flags = jittor.flags.cc_flags
    if os.environ.get(SWITCH) == "0" or not re.fullmatch(r"g\+\+(-\d+)?", Path(jittor.flags.cc_path).name):
        return False
    header = _folder(jittor) / "prefix.h"
    include = f' -include "{header}" '
    if include in flags:
        return True
    compiled = header.with_suffix(".h.gch")
    if not compiled.is_file():
        problem = _compile(jittor.flags.cc_path, flags, header, compiled)
        if problem:
            print(f"jld: kernels compile without precompiled headers: {problem}", file=sys.stderr)
            return False
    jittor.flags.cc_flags = flags + include
    return True


def _folder(jittor: Any) -> Path:
    """Of one set of flags and headers; the compiler's version is part of Jittor's own cache path."""
    what = repr((jittor.__version__, jittor.flags.cc_flags, PREFIX))
    return Path(jittor.flags.cache_path) / "jld_prefix" / hashlib.sha256(what.encode()).hexdigest()[:16]


def _compile(compiler: str, flags: str, header: Path, compiled: Path) -> str:
    """Writes both files; returns what went wrong, empty where nothing did."""
    own = compiled.with_suffix(f".{os.getpid()}")
    try:
        header.parent.mkdir(parents=True, exist_ok=True)
        # Aside and renamed, both files: other processes may write or read the same ones.
        own.write_text(PREFIX, encoding="utf-8")
        own.replace(header)
        # Jittor compiles to assembly with debug lines; GCC takes headers compiled in the same way only.
        command = [compiler, "-x", "c++-header", str(header), *_compile_flags(flags), "-g", "-o", str(own)]
        answer = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
        if answer.returncode:
            return (answer.stderr.strip().splitlines() or ["the compiler failed"])[-1]
        own.replace(compiled)
    except OSError as error:
        return str(error)
    finally:
        own.unlink(missing_ok=True)
    return ""


def _compile_flags(flags: str) -> list[str]:
    """The flags without those of the linker."""
    return [
        flag for flag in shlex.split(flags) if flag != "-shared" and not flag.startswith(("-l", "-L", "-Wl"))
    ]
