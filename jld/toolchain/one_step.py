"""Jittor's CPU kernels compiled in one step where nothing is done between the two.

Jittor compiles every kernel to assembly with debug lines, lets a Python program exchange instructions in the
lines that the source marks with "@begin", and assembles the result. Four of five kernels mark none: for them
the lines and the program are more than half of the compile time, and with them a kernel leaves 1.5 MB on the
disk, without 50 KB. The program is called through the path of the interpreter; here that becomes a script
which compiles such kernels itself and calls the interpreter for all others. Debug lines do not change the
instructions of GCC. For Jittor 1.3.11; can go when its `asm_tuner.py` looks before it compiles.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import sys
from pathlib import Path
from typing import Any

from jld.toolchain.headers import is_gcc

# What Jittor calls: python asm_tuner.py --cc_path=COMPILER SOURCE FLAGS -o LIBRARY.
SCRIPT = """\
#!/bin/sh
case $1 in
    */asm_tuner.py) if ! grep -q @begin "$3"; then compiler=${{2#*=}}; shift 2; exec "$compiler" "$@"; fi ;;
esac
exec {python} "$@"
"""
# Set to 0 it leaves Jittor's way alone, to measure what this one is worth.
SWITCH = "JLD_ONE_STEP"


def compile_in_one_step(jittor: Any) -> bool:
    """Makes every further CPU kernel compile in one step where it can; True where that is in force.

    Args:
        jittor: the imported module; `flags.python_path` becomes the quoted path of the script.
    """
    flags = jittor.flags
    if os.environ.get(SWITCH) == "0" or not is_gcc(flags.cc_path):
        return False
    if flags.python_path.startswith('"'):
        return True
    text = SCRIPT.format(python=shlex.quote(flags.python_path))
    name = f"one_step-{hashlib.sha256(text.encode()).hexdigest()[:16]}.sh"
    script = Path(flags.cache_path) / name
    own = script.with_suffix(f".{os.getpid()}")
    try:
        if not script.is_file():
            own.write_text(text, encoding="utf-8")
            own.chmod(0o755)
            own.replace(script)  # other processes may write the same one
    except OSError as error:
        print(f"jld: kernels compile in two steps: {error}", file=sys.stderr)
        return False
    flags.python_path = f'"{script}"'
    return True
