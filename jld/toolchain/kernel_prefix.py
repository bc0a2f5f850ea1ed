"""Jittor's headers compiled once, so that each of its kernels does not read them again.

More than half of a small kernel's compile time goes into the same few headers. Here they are precompiled
into Jittor's cache, and the compiler is told to start every CPU kernel with them; the kernel is the same,
debug lines included. For Jittor 1.3.11 with GCC; can go when Jittor precompiles its headers itself.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from jld.toolchain.headers import is_gcc, precompile_header

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
    if os.environ.get(SWITCH) == "0" or not is_gcc(jittor.flags.cc_path):
        return False
    header = _folder(jittor) / "prefix.h"
    include = f' -include "{header}" '
    if include in flags:
        return True
    if not header.with_suffix(".h.gch").is_file():
        # Jittor compiles to assembly with debug lines; GCC takes headers compiled in the same way only.
        compile_flags = [*_compile_flags(flags), "-g"]
        problem = precompile_header(jittor.flags.cc_path, compile_flags, header, PREFIX)
        if problem:
            print(f"jld: kernels compile without precompiled headers: {problem}", file=sys.stderr)
            return False
    jittor.flags.cc_flags = flags + include
    return True


def _folder(jittor: Any) -> Path:
    """Of one set of flags and headers; the compiler's version is part of Jittor's own cache path."""
    what = repr((jittor.__version__, jittor.flags.cc_flags, PREFIX))
    return Path(jittor.flags.cache_path) / "jld_prefix" / hashlib.sha256(what.encode()).hexdigest()[:16]


def _compile_flags(flags: str) -> list[str]:
    """The flags without those of the linker."""
    return [
        flag for flag in shlex.split(flags) if flag != "-shared" and not flag.startswith(("-l", "-L", "-Wl"))
    ]
